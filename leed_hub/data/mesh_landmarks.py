"""Landmarks of photographs, which no corpus has: a face mesh's, brought to the points that renders are known by.

The mesh is MediaPipe's, see `leed_hub.faces.face_mesh`. On renders, the points so found are wrong by 1 % of the crop's
side; renders alone do not teach an encoder where landmarks lie on photographs unlike them.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from leed_hub.data.landmarks import LandmarkMap
from leed_hub.data.memory import cache_folder, write_once
from leed_hub.data.pairs import FaceTable
from leed_hub.faces.face_mesh import FaceMesh

N_RENDERS = 1200  # by which the mesh's points are brought to the renders'


def with_mesh_landmarks(photographs: FaceTable, renders: FaceTable) -> FaceTable:
    """The table with landmarks as the renders have them, (N, L, 2); NaN where the mesh finds no face.

    Args:
        photographs: any faces.
        renders: faces whose landmarks are known.
    Raises:
        ConfigError: if the mesh is not installed.
    """
    chosen = torch.linspace(0, len(renders) - 1, min(N_RENDERS, len(renders))).long()
    to_landmarks = LandmarkMap(mesh_points(renders.images[chosen]), renders.landmarks[chosen])
    return replace(photographs, landmarks=to_landmarks(mesh_points(photographs.images[torch.arange(len(photographs))])))


def mesh_points(images: Tensor) -> Tensor:
    """The mesh of each face crop (N, 3, S, S), uint8: (N, 468, 2), x, y in -1..1 over the crop, NaN where none.

    They are kept in the cache, for a mesh takes some 30 ms.
    """
    digest = hashlib.sha256(images.flatten().numpy().data).hexdigest()[:24]
    file = cache_folder("meshes") / f"{digest}.safetensors"

    def write(unfinished: Path) -> None:
        mesh = FaceMesh()
        found = [mesh(image.permute(1, 2, 0).numpy(), is_crop=True) for image in images]
        points = np.stack([np.full((468, 2), np.nan) if one is None else one[:, :2] for one in found])
        side = images.shape[-1]
        save_file({"points": torch.from_numpy((points + 0.5) / side * 2 - 1).float()}, unfinished)

    write_once(file, write)
    return load_file(file)["points"]
