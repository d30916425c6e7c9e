"""The page: edit a face's expression, or read the expressions in a photograph.

    python app.py                    the bundled checkpoints, on http://127.0.0.1:7860
    LEED_HUB_EDITOR=org/name         weights from the Hub instead (also LEED_HUB_RECOGNIZER)

Runs locally, on a CPU Space and on ZeroGPU. Pictures are deleted after at most ten minutes, or when the page ends,
and never leave the machine that runs it.
"""

import atexit
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import NamedTuple

import gradio as gr
import numpy as np
import torch
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj, is_file_obj_with_meta, traverse
from PIL import Image

from leed_hub import ExpressionEditor, ExpressionRecognizer, LeedHubError
from leed_hub.errors import BadVideoError, NoFaceError
from leed_hub.faces.tracking import FaceChoice
from leed_hub.media.images import ENDINGS, is_animated, is_picture, load_image
from leed_hub.media.notes import notes_kept
from leed_hub.media.provenance import save_edited
from leed_hub.media.video import open_video
from leed_hub.pipelines import video_classification
from leed_hub.pipelines.batch import PicturePrediction, classify_many
from leed_hub.pipelines.boxes import draw_faces
from leed_hub.pipelines.expressions import NEUTRAL, Expression
from leed_hub.pipelines.live import LiveView
from leed_hub.pipelines.recognizer import FacePrediction
from leed_hub.pipelines.series import animate, expression_strip
from leed_hub.pipelines.tables import PictureTable

try:  # ZeroGPU lends a GPU for the length of one call
    import spaces

    on_gpu = spaces.GPU
except ImportError:

    def on_gpu(function):
        return function


EXAMPLES = Path(__file__).parent / "docs" / "examples"
CONSENT = "I may use these pictures: they show me, or people who agreed. The result is marked as edited."
KEPT_S = 600  # pictures are deleted after that
TIDY_S = 5
VISITORS = 256  # who may wait at once, and whose photos are remembered: more would fill the memory
AT_ONCE = 2  # whole pictures, or whole videos: who sends one large file after the other then holds nobody up
GONE = "Choose a photo to begin. Photos are deleted after ten minutes; choose yours again to go on."
MISFIT = "This does not fit: files must be uploaded, and values be of the kind that the page shows."
OWN = "own"  # the visitor's own expression, of a reference picture or a saved one
NOTHING = "nothing"
READ = "read"
NO_FACE = "No face is seen. Turn towards the camera, with light on your face."
EXPIRED = "**Your upload has been deleted, as all are after a few minutes; choose the file again.**"
TRIAL_S, TRIAL_WORDS = 2, "two"
FRAMES_READ = 10  # a second of a video: the expression of a face changes no faster
COLUMNS = ["file", "face", "expression", "%"]
MOST_NAMED = 8  # files that a note names
PREVIEW_SIDE = 640  # pixels; what is shown while controls move is at most so large
LIMITS = (
    "What a face *looks like* in one picture, not what the person feels. Not for decisions about people: using emotion "
    "recognition at work or in education is prohibited in the EU. Scores depend on light, pose, age and culture."
)


CSS = """
@media (max-width: 768px) {
  .gradio-container {overflow: clip !important} /* hidden would keep the picture from staying in view */
  .shown {position: sticky !important; top: 0; z-index: 10; background: var(--body-background-fill)}
  #photo-result, #photo-result .slider-wrap, #live-shown {height: 38vh !important; max-height: 38vh !important}
  button, label:has(input), input[type="number"], .tab-like-container {min-height: 44px !important}
}
.note {min-height: 1.5em}
[data-testid=slider]:focus-visible {outline: 3px solid var(--color-accent)}
/* gradio's own colours are too faint to read for some */
[role="tab"].selected, .or, footer a, footer button {color: var(--body-text-color) !important}
"""
# What gradio draws without a name that a screen reader could say, the handle between before and after, which only the
# mouse would move, and a camera that is denied.
NAMES = """() => {
  const operable = handle => {
    const at = () => new DOMMatrix(getComputedStyle(handle).transform).m41;
    const shown = () => parseInt(handle.parentElement.querySelector('.fixed').style.clipPath.split(' ').pop());
    const told = () => handle.ariaValueNow = shown(); // per cent of the width
    Object.assign(handle, {role: 'slider', tabIndex: 0, ariaLabel: 'Before and after', onfocus: told});
    told();
    handle.onkeydown = event => {
      const way = {ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05, Home: -1, End: 1}[event.key];
      if (!way) return;
      event.preventDefault();
      const {left, width} = handle.parentElement.getBoundingClientRect();
      handle.dispatchEvent(new MouseEvent('mousedown', {clientX: left + at() + way * width, view: window}));
      window.dispatchEvent(new MouseEvent('mouseup', {view: window}));
      setTimeout(told);
    };
  };
  const named = () => {
    document.querySelectorAll('[aria-label="Empty value"]:not([role])').forEach(e => e.setAttribute('role', 'img'));
    document.querySelectorAll('button > img:not([alt]), button > * img:not([alt]), button img[alt=""]')
      .forEach(e => e.setAttribute('alt', 'picture'));
    document.querySelectorAll('[data-testid=slider]:not([role=slider])').forEach(operable);
  };
  named();
  window.addEventListener('unhandledrejection', event => { // of a camera, which gradio does not tell
    if (!['NotAllowedError', 'NotFoundError', 'NotReadableError'].includes(event.reason?.name)) return;
    event.preventDefault();
    alert('The camera cannot be used: connect one, and allow it in the browser for this page.');
  });
  new MutationObserver(named).observe(document.body, {childList: true, subtree: true});
}"""
THEME = gr.themes.Default().set(
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
)


class Page(gr.Blocks):
    """Takes no files but uploads, and answers what it cannot make sense of with a sentence, too."""

    async def preprocess_data(self, block_fn, inputs, *rest, **options):
        def check(file: dict) -> None:  # gradio would fetch addresses, and open any file that does not say it is one
            if "://" in file["path"]:
                raise gr.Error("Upload the file; addresses are not read.", print_exception=False)
            if not is_file_obj_with_meta(file):
                raise gr.Error(MISFIT, print_exception=False)

        try:
            traverse(inputs, check, is_file_obj)
            return await super().preprocess_data(block_fn, inputs, *rest, **options)
        except gr.Error:
            raise
        except Exception as error:  # such as somebody's path, or a number for a picture
            raise gr.Error(MISFIT, print_exception=False) from error


class FaceImage(gr.Image):
    """An upload that reaches us as the file it is: our own loader decodes it, upright and with metadata dropped."""

    is_template = True  # drawn by gradio's own image component

    def preprocess(self, payload):
        return payload and payload.path


def face_image(label: str, elem_id: str) -> FaceImage:
    return FaceImage(
        sources=["upload", "webcam", "clipboard"],
        label=label,
        elem_id=elem_id,
        height=220,
    )


class FaceFile(gr.File):
    """Uploads as the files they are: our own readers tell what is in them."""

    is_template = True

    def preprocess(self, payload):
        """The path, or the paths; gradio would refuse all for one whose name has another ending."""
        if payload is None:
            return None
        return payload.path if self.file_count == "single" else [file.path for file in payload.root]


def told(error: LeedHubError) -> gr.Error:
    """Our own errors carry a sentence for the user."""
    return gr.Error(str(error), print_exception=False)


class Cancelled(Exception):
    """The visitor wants no more of it."""


class Jobs:
    """What is being made, so that it ends when its visitor presses Cancel or leaves: gradio lets threads run on."""

    def __init__(self):
        self._running: dict[Event, str] = {}  # to whom it belongs

    def cancel(self, request: gr.Request) -> None:
        """End all of a visitor's."""
        for is_cancelled, session in list(self._running.items()):
            if session == request.session_hash:
                is_cancelled.set()

    @contextmanager
    def job(self, request: gr.Request, progress: gr.Progress) -> Iterator[Callable[[int, int | None], None]]:
        """Gives what is told how much is done, and of how much; it raises `Cancelled`."""
        is_cancelled = Event()

        def on_progress(done: int, total: int | None) -> None:
            if is_cancelled.is_set():
                raise Cancelled
            progress((done, total), unit="frames")

        self._running[is_cancelled] = request.session_hash
        try:
            yield on_progress
        finally:
            del self._running[is_cancelled]


def has_expired(*uploads: str | None) -> bool:
    """Whether one of these files has been deleted since it came."""
    return not all(os.path.exists(upload) for upload in uploads if upload)


class Portrait:
    """A visitor's photograph: small and encoded once for what is shown while controls move, whole for the file.

    Args:
        editor: what edits it.
        path: the upload.
        face: "largest", "all", or a number, 0 being the largest.
        needs_consent: whether it shows a real person.
    """

    def __init__(
        self, editor: ExpressionEditor, path: str, face: FaceChoice = "largest", *, needs_consent: bool = True
    ):
        self.path, self.face, self.needs_consent, self.stem = path, face, needs_consent, Path(path).stem
        self.small = load_image(path)
        self.small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        self.session = editor.session(self.small, face=face)
        self.before = served_file("before.jpg")
        self.small.save(self.before, quality=92)


@dataclass
class Live:
    """A visitor's camera: what follows the face, and what was shown last."""

    view: LiveView
    shown: np.ndarray | None = None
    is_edited: bool = False


def served_file(name: str) -> str:
    """A path for a file that is served and deleted as uploads are."""
    return str(Path(tempfile.mkdtemp(dir=get_upload_folder())) / name)


def expression_controls(editor: ExpressionEditor, tab: str, last: tuple[str, str]):
    """Expressions by name and one more choice, (shown, value); strength, and mouth and eyes apart."""
    expression = gr.Radio(
        [*((name.capitalize(), name) for name in editor.presets), last],
        value="smile" if "smile" in editor.presets else NEUTRAL,
        label="Expression",
        elem_id=f"{tab}-expression",
    )
    strength = gr.Slider(0, 2, 1, step=0.05, label="Strength", elem_id=f"{tab}-strength")
    with gr.Row():
        mouth = gr.Slider(0, 2, 1, step=0.05, label="Mouth", elem_id=f"{tab}-mouth", min_width=120)
        eyes = gr.Slider(0, 2, 1, step=0.05, label="Eyes and brows", elem_id=f"{tab}-eyes", min_width=120)
    return expression, strength, mouth, eyes


def photo_tab(editor: ExpressionEditor, demo: gr.Blocks) -> gr.Checkbox:
    """A photograph, an expression by name or from a picture, and controls that draw while they move.

    Returns the box by which the visitor consents.
    """
    names = [*((name.capitalize(), name) for name in editor.presets), ("My own", OWN)]

    def expression_of(
        name: str, blend: str, share: float, eyes_from: str, own: Expression | None, mouth: float, eyes: float, *slides
    ) -> Expression:
        def named(one: str) -> Expression:
            return own if one == OWN and own is not None else editor.expression(NEUTRAL if one == OWN else one)

        expression = named(name)
        if blend != NOTHING:
            expression = expression.mixed(named(blend), share)
        if eyes_from != NOTHING:
            expression = expression.with_eyes_of(named(eyes_from))
        moved = {slider: value for slider, value in zip(editor.sliders, slides, strict=True) if value}
        expression = editor.slide(expression, moved)
        return expression.with_strengths(mouth=mouth * expression.mouth_strength, eyes=eyes * expression.eyes_strength)

    def lacks_consent(portrait: Portrait, consent: bool, name: str, blend: str, share: float, eyes_from: str, *_):
        """The example is a render; a photograph, or an expression, of the visitor's shows somebody."""
        return consent is not True and (portrait.needs_consent or OWN in (name, blend, eyes_from))

    def draw(portrait: Portrait | None, consent: bool, strength: float, *wanted):
        """Before and after as the page shows them, and a note; the picture stays as it is where there is a message."""
        if portrait is None:
            return gr.skip(), GONE
        if lacks_consent(portrait, consent, *wanted):
            return gr.skip(), f"**Please confirm first:** {CONSENT}"
        try:
            result = portrait.session.render(expression_of(*wanted), strength)
        except LeedHubError as error:
            return gr.skip(), f"**{error}**"
        file = served_file("edited.jpg")
        save_edited(result.image, file, software=editor.software)
        return (portrait.before, file), result.note

    def opened(path: str | None, face: FaceChoice, consent: bool, strength: float, *wanted):
        """A new photograph, or another of its faces, drawn with the controls as they stand."""
        if not path:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        try:
            portrait = Portrait(editor, path, face)
        except LeedHubError as error:
            return gr.skip(), gr.skip(), f"**{error}**", gr.skip()
        return portrait, *draw(portrait, consent, strength, *wanted), chooser(portrait)

    def chooser(portrait: Portrait) -> gr.Gallery:
        """The photograph, which stands for all its faces, and each face, where there are several."""
        crops = editor.cropper(portrait.small).crops
        shown = [(portrait.small, "all"), *((crop, str(number)) for number, crop in enumerate(crops, 1))]
        return gr.Gallery(shown, visible=len(crops) > 1)

    def clicked(event: gr.SelectData) -> FaceChoice:
        """The face that was clicked on: all of them come first."""
        return "all" if event.index == 0 else event.index - 1

    def choose(*given):
        """As `opened`, while the faces to choose from stay."""
        return opened(*given)[:3]

    def read_reference(path: str | None):
        """Whose expression is worn, of the visitor's own reference picture or saved expression."""
        if not path:
            return gr.skip(), gr.skip(), gr.skip()
        try:
            return editor.expression(path), OWN, ""
        except LeedHubError as error:
            return gr.skip(), gr.skip(), f"**Your expression:** {error}"

    def example(*wanted):
        """What one sees on opening: a rendered face, which nobody's consent is needed for."""
        portrait = Portrait(editor, str(EXAMPLES / "source.png"), needs_consent=False)
        return portrait, *draw(portrait, True, 1.0, *wanted)

    def saver(save: Callable[[Portrait, Expression, float], str]) -> Callable:
        """An event that gives a file to download, made of the portrait, the expression and its strength."""

        def event(portrait: Portrait | None, consent: bool, strength: float, *wanted):
            if portrait is None:
                return gr.skip(), GONE
            if lacks_consent(portrait, consent, *wanted):
                return gr.skip(), f"**Please confirm first:** {CONSENT}"
            try:
                return gr.File(save(portrait, expression_of(*wanted), strength), visible=True), ""
            except LeedHubError as error:
                return gr.skip(), f"**{error}**"

        return event

    def save_whole(portrait: Portrait, expression: Expression, strength: float) -> str:
        """At the photograph's own size."""
        file = served_file(f"{portrait.stem}_edited.png")
        save_edited(
            editor(portrait.path, expression, strength, face=portrait.face).image, file, software=editor.software
        )
        return file

    def save_strip(portrait: Portrait, expression: Expression, strength: float) -> str:
        """In every expression there is a name for."""
        file = served_file(f"{portrait.stem}_expressions.png")
        strip = expression_strip(portrait.session, {name: editor.expression(name) for name in editor.presets})
        save_edited(strip, file, software=editor.software)
        return file

    def save_moving(suffix: str) -> Callable[[Portrait, Expression, float], str]:
        """From neutral to the expression and back."""

        def save(portrait: Portrait, expression: Expression, strength: float) -> str:
            file = served_file(f"{portrait.stem}_edited{suffix}")
            animate(portrait.session, expression, file, strength)
            return file

        return save

    def save_expression(portrait: Portrait, expression: Expression, strength: float) -> str:
        """For this page's "My own", for Python and the command line."""
        file = served_file("expression.json")
        expression.save(file)
        return file

    @on_gpu
    def edit(
        photo: str,
        reference: str | None,
        strength: float,
        consent: bool,
        face: str = "largest",
        expression: str = OWN,
        mouth: float = 1.0,
        eyes: float = 1.0,
    ):
        """Edit a photograph by a reference picture, or by an expression's name; returns the marked PNG file and a note.

        Args:
            photo: whose face is edited.
            reference: whose expression it takes; without one, `expression` says.
            strength: 0 neutral, 1 as the reference, up to 2.
            consent: that you may use these pictures.
            face: "largest", "all", or a number, 0 being the largest.
            expression: "neutral", "smile" and so on.
            mouth: strength of the mouth alone.
            eyes: strength of eyes and brows alone.
        """
        if consent is not True:  # a client may send anything, such as the word "false"
            raise gr.Error("Please confirm that you may use these pictures.", print_exception=False)
        if not photo or (expression == OWN and not reference and strength > 0):
            raise gr.Error("Please choose a photo and a reference picture or expression.", print_exception=False)
        try:
            wanted = editor.expression(reference or (NEUTRAL if expression == OWN else expression))
            choice = int(face) if str(face).isdigit() else face
            result = editor(photo, wanted.with_strengths(mouth=mouth, eyes=eyes), strength, face=choice)
        except LeedHubError as error:
            raise told(error) from error
        file = served_file(f"{Path(photo).stem}_edited.png")
        save_edited(result.image, file, software=editor.software)
        return file, result.note

    def neutralize(photo: str, consent: bool, face: str = "largest"):
        """Take the expression off a face; returns the marked PNG file and a note.

        Args:
            photo: whose face is edited.
            consent: that you may use this picture.
            face: "largest", "all", or a number, 0 being the largest.
        """
        return edit(photo, None, 0.0, consent, face, NEUTRAL)

    with gr.Tab("Photo"), gr.Row():
        portrait, own, chosen = (gr.State(None, time_to_live=KEPT_S) for _ in range(3))
        with gr.Column(scale=3, elem_classes="shown"):
            result = gr.ImageSlider(
                show_label=False,
                elem_id="photo-result",
                height=460,
                max_height=460,
                slider_position=15,
                format="jpeg",
                buttons=[],
            )
            note = gr.Markdown(elem_id="photo-note", elem_classes="note")
        with gr.Column(scale=2):
            photo = face_image("Your photo", "photo-source")
            consent = gr.Checkbox(label=CONSENT, elem_id="photo-consent")
            faces = gr.Gallery(
                label="Whose face",
                visible=False,
                elem_id="photo-faces",
                columns=5,
                height=130,
                allow_preview=False,
                format="jpeg",
                interactive=False,
                buttons=[],
            )
            expression, strength, mouth, eyes = expression_controls(editor, "photo", names[-1])
            with gr.Accordion("Fine control", open=False, visible=bool(editor.sliders)):
                slides = [gr.Slider(-1, 1, 0, step=0.05, label=name.capitalize()) for name in editor.sliders]
            with gr.Accordion("Mix", open=False):
                others = [("nothing", NOTHING), *names]
                blend = gr.Dropdown(others, value=NOTHING, label="Mix with", elem_id="photo-blend")
                share = gr.Slider(0, 1, 0.5, step=0.05, label="How much of it", elem_id="photo-share")
                eyes_from = gr.Dropdown(
                    [("the same expression", NOTHING), *names],
                    value=NOTHING,
                    label="Eyes and brows from",
                    elem_id="photo-eyes-from",
                )
            with gr.Accordion("My own expression", open=False):
                reference = face_image("A picture of it", "photo-reference")
                with gr.Row():
                    load = gr.UploadButton("Open a saved one", file_types=[".json"], size="sm", elem_id="photo-load")
                    keep = gr.Button("Save this one", size="sm", elem_id="photo-keep")
            save = gr.Button("Save full size", variant="primary", elem_id="photo-save")
            with gr.Row():
                strip = gr.Button("All expressions", size="sm", elem_id="photo-strip", min_width=80)
                gif = gr.Button("GIF", size="sm", elem_id="photo-gif", min_width=80)
                video = gr.Button("Video", size="sm", elem_id="photo-video", min_width=80)
            file = gr.File(label="Your file, marked as AI-edited", elem_id="photo-file", visible=False)

        wanted = [expression, blend, share, eyes_from, own, mouth, eyes, *slides]
        controls = [portrait, consent, strength, *wanted]
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        seen = [portrait, result, note, faces]
        face = gr.Textbox("largest", visible=False)  # for clients
        photo.input(opened, [photo, face, consent, strength, *wanted], seen, trigger_mode="always_last", **quiet)
        # In two steps, as gradio would do the first of two quick clicks again in place of the last.
        faces.select(clicked, None, chosen, trigger_mode="multiple", **quiet).then(
            choose, [photo, chosen, consent, strength, *wanted], seen[:3], trigger_mode="always_last", **quiet
        )
        for given, came in ((reference, reference.input), (load, load.upload)):
            came(read_reference, given, [own, expression, note], **quiet).then(draw, controls, [result, note], **quiet)
        for control in (consent, expression, strength, blend, share, eyes_from, mouth, eyes, *slides):
            control.input(draw, controls, [result, note], trigger_mode="always_last", **quiet)
        for button, made in (
            (save, save_whole),
            (strip, save_strip),
            (gif, save_moving(".gif")),
            (video, save_moving(".mp4")),
            (keep, save_expression),
        ):
            options = {"api_visibility": "private", "show_progress_on": [button], "concurrency_limit": AT_ONCE}
            button.click(saver(made), controls, [file, note], **options)
        api = gr.Button(visible=False)
        asked = [photo, reference, strength, consent, face, expression, mouth, eyes]
        api.click(edit, asked, [file, note], api_name="edit", concurrency_limit=AT_ONCE)
        one = [photo, consent, face]
        api.click(neutralize, one, [file, note], api_name="neutralize", concurrency_limit=AT_ONCE)
    demo.load(example, wanted, [portrait, result, note], **quiet)
    return consent


def video_tab(editor: ExpressionEditor, demo: gr.Blocks) -> gr.Checkbox:
    """A video, or a picture that comes to life; a trial on its beginning first, then the whole.

    Returns the box by which the visitor consents.
    """
    jobs = Jobs()

    def edited(source: str, reference: str, strength: float, mouth: float, eyes: float, face: str, **options):
        """The marked mp4 file, named after its source, and a note."""
        file = served_file(f"{Path(source).stem}_edited.mp4")
        with notes_kept() as notes:
            result = editor.edit_video(
                source, reference, file, strength=strength, mouth=mouth, eyes=eyes, face=face, **options
            )
        note = f"{result.frames} frames, {'with' if result.sound else 'without'} sound."
        if result.frames_without_face:
            note += f" {result.frames_without_face} of them show no face and are as they were."
        return file, " ".join([note, *notes])

    def edit_video(
        source: str,
        reference: str | None,
        strength: float,
        consent: bool,
        face: str = "largest",
        expression: str = OWN,
        mouth: float = 1.0,
        eyes: float = 1.0,
        request: gr.Request = None,
        progress=gr.Progress(),  # noqa: B008
    ):
        """Edit a video by a picture, a video or an expression's name, or bring a picture to life by a video.

        Returns the marked mp4 file, which has the source's sound, and a note.

        Args:
            source: whose face is edited: a video or a picture.
            reference: whose expression it takes: a picture or a video; without one, `expression` says.
            strength: 0 neutral, 1 as the reference, up to 2.
            consent: that you may use these files.
            face: "largest" or "all".
            expression: "neutral", "smile" and so on.
            mouth: strength of the mouth alone.
            eyes: strength of eyes and brows alone.
        """
        if consent is not True:  # a client may send anything, such as the word "false"
            raise gr.Error("Please confirm that you may use these files.", print_exception=False)
        if not source or (expression == OWN and not reference):
            raise gr.Error("Please choose a video and a reference or expression.", print_exception=False)
        try:
            with jobs.job(request, progress) as on_progress:
                return edited(source, reference or expression, strength, mouth, eyes, face, on_progress=on_progress)
        except LeedHubError as error:
            raise told(error) from error

    def on_page(
        seconds: float | None, source, reference, strength, consent, face, expression, mouth, eyes,
        request: gr.Request, progress=gr.Progress(),  # noqa: B008
    ):  # fmt: skip
        """The same for a visitor: where there is no result, a note says why, and the last one stays."""
        if not source:
            return gr.skip(), "Choose a video to begin."
        if consent is not True:
            return gr.skip(), f"**Please confirm first:** {CONSENT}"
        wanted = reference if expression == OWN else expression
        if not wanted:
            return gr.skip(), "**Choose the picture or video whose expression shall be taken, or another expression.**"
        if has_expired(source, reference):
            return gr.skip(), EXPIRED
        try:
            with jobs.job(request, progress) as on_progress:
                file, note = edited(
                    source, wanted, strength, mouth, eyes, face, seconds=seconds, on_progress=on_progress
                )
        except LeedHubError as error:
            return gr.skip(), f"**{error}**"
        except Cancelled:
            return gr.skip(), gr.skip()  # `on_cancel` says so
        return file, f"{note} Download it within five minutes; then it is deleted."

    def on_cancel(request: gr.Request) -> str:
        jobs.cancel(request)
        return "Cancelled."

    with gr.Tab("Video"), gr.Row():
        with gr.Column(scale=3):
            result = gr.Video(
                label="Edited video (marked as AI-edited)", elem_id="video-result", height=460, interactive=False,
                autoplay=True, buttons=["download"],
            )  # fmt: skip
            note = gr.Markdown(
                "Choose a video, or a photo that shall take the expression of a video.",
                label="Note",
                elem_id="video-note",
            )
        with gr.Column(scale=2):
            source = FaceFile(label="Your video or photo", elem_id="video-source", height=120)
            consent = gr.Checkbox(label=CONSENT, elem_id="video-consent")
            expression, strength, mouth, eyes = expression_controls(editor, "video", ("My own picture or video", OWN))
            with gr.Accordion("The expression of another picture or video", open=False):
                reference = FaceFile(
                    label="Reference: whose expression your video takes", elem_id="video-reference", height=120
                )
            face = gr.Radio(
                [("the largest face", "largest"), ("all faces", "all")], value="largest", label="If there are several"
            )
            with gr.Row():
                trial = gr.Button(f"Try the first {TRIAL_WORDS} seconds", elem_id="video-trial", min_width=160)
                whole = gr.Button("Edit the whole video", variant="primary", elem_id="video-whole", min_width=160)
            cancel = gr.Button("Cancel", elem_id="video-cancel")

        wanted = [source, reference, strength, consent, face, expression, mouth, eyes]
        shown = {"show_progress_on": result, "api_visibility": "private", "trigger_mode": "once"}
        reference.upload(lambda: OWN, None, expression, show_progress="hidden", api_visibility="private")
        # A trial need not wait for another visitor's whole video.
        on_trial = trial.click(on_page, [gr.State(TRIAL_S), *wanted], [result, note], concurrency_id="trial", **shown)
        on_whole = whole.click(on_page, [gr.State(None), *wanted], [result, note], concurrency_limit=AT_ONCE, **shown)
        cancel.click(on_cancel, None, note, cancels=[on_trial, on_whole], queue=False, api_visibility="private")
        api = gr.Button(visible=False)
        api.click(edit_video, wanted, [result, note], api_name="edit_video", concurrency_limit=AT_ONCE)
    demo.unload(jobs.cancel)
    return consent


def live_tab(editor: ExpressionEditor, recognizer: ExpressionRecognizer) -> gr.Checkbox:
    """A webcam that wears an expression, or tells what one looks like.

    Returns the box by which the visitor consents.
    """

    def look(
        photo: np.ndarray | None,
        view: Live | None,
        consent: bool,
        name: str,
        strength: float,
        mouth: float,
        eyes: float,
    ):
        """One frame: what is shown, what was read, and what follows the face."""
        if photo is None:
            return gr.skip(), gr.skip(), gr.skip()
        if consent is not True:
            return gr.skip(), f"**Please confirm first:** {CONSENT}", view
        view = view or Live(LiveView(editor, recognizer))
        if name == READ:
            prediction = view.view.read(photo, time.monotonic())
            view.shown, view.is_edited = photo, False
            text = NO_FACE if prediction is None else ", ".join(f"{n} {s:.0%}" for n, s in prediction.top(3))
            return photo, f"You look like: {text}" if prediction else text, view
        expression = editor.expression(name).with_strengths(mouth=mouth, eyes=eyes)
        shown = view.view.edit(photo, time.monotonic(), expression, strength)
        view.shown, view.is_edited = shown, True
        return shown, NO_FACE if view.view.face.place is None else "", view

    def snapshot(view: Live | None):
        """The picture that was shown last, as a file."""
        if view is None or view.shown is None:
            return gr.skip(), "Start the camera first."
        file = served_file("snapshot.png")
        if view.is_edited:
            save_edited(Image.fromarray(view.shown), file, software=editor.software)
        else:
            Image.fromarray(view.shown).save(file)
        return gr.File(file, visible=True), ""

    with gr.Tab("Live"), gr.Row():
        view = gr.State(None, time_to_live=KEPT_S)
        with gr.Column(scale=3, elem_classes="shown"):
            shown = gr.Image(
                str(EXAMPLES / "happiness.png"),
                show_label=False,
                format="jpeg",
                streaming=True,
                interactive=False,
                elem_id="live-shown",
                height=460,
                buttons=[],
            )
            note = gr.Markdown(elem_id="live-note", elem_classes="note")
        with gr.Column(scale=2):
            camera = gr.Image(
                sources=["webcam"],
                type="numpy",
                streaming=True,
                label="Camera",
                elem_id="live-camera",
                height=200,
                webcam_options=gr.WebcamOptions(constraints={"video": {"width": 640, "height": 480}}),
            )
            consent = gr.Checkbox(label=CONSENT, elem_id="live-consent")
            expression, strength, mouth, eyes = expression_controls(editor, "live", ("What do I look like?", READ))
            take = gr.Button("Take a picture", variant="primary", elem_id="live-snapshot")
            file = gr.File(label="Your picture", elem_id="live-file", visible=False)
        camera.stream(
            look,
            [camera, view, consent, expression, strength, mouth, eyes],
            [shown, note, view],
            stream_every=0.1,
            time_limit=KEPT_S,
            concurrency_limit=4,
            show_progress="hidden",
            api_visibility="private",
        )
        take.click(snapshot, view, [file, note], api_visibility="private")
    return consent


class ReadFace(NamedTuple):
    """A row of the Read tab's table.

    Attributes:
        name: of the file, or the time of a video's frame.
        number: of the face in it, 0 the largest, as in the CSV file.
        face: what was read of it.
        picture: where it is; None for a video's frame.
    """

    name: str
    number: int
    face: FacePrediction
    picture: PicturePrediction | None = None

    def cells(self) -> list:
        return [self.name, self.number, self.face.label, round(100 * self.face.scores[self.face.label])]

    def drawn(self) -> Image.Image:
        """The picture with all its faces, this one highlighted where there are several; small enough to show."""
        faces = self.picture.faces
        marked = draw_faces(
            load_image(self.picture.picture), faces, highlighted=self.number if len(faces) > 1 else None
        )
        marked.thumbnail((2 * PREVIEW_SIDE, 2 * PREVIEW_SIDE))
        return marked


def read_tab(recognizer: ExpressionRecognizer, demo: gr.Blocks) -> None:
    """The apparent expression of every face of pictures, or of one face over a video."""
    jobs, labels = Jobs(), recognizer.labels

    def pictures_read(files: list[str], on_progress: Callable) -> tuple[list[PicturePrediction], str]:
        """What was read, and the table as a CSV file."""
        table = served_file("expressions.csv")
        predictions = []
        with open(table, "w", encoding="utf-8", newline="") as file:
            rows = PictureTable(file, labels)
            for prediction in classify_many(recognizer, files):
                rows.write(replace(prediction, picture=Path(prediction.picture).name))
                predictions.append(prediction)
                on_progress(len(predictions), len(files))
        return predictions, table

    def video_read(
        video: str, on_progress: Callable
    ) -> tuple[list[video_classification.FramePrediction], str, str, str]:
        """What was read, the table as a CSV file, the plot over time, and a note; about `FRAMES_READ` a second."""
        table, plot = (served_file(f"{Path(video).stem}_expressions{ending}") for ending in (".csv", ".png"))
        frames = open_video(video)
        every = max(1, round(frames.rate / FRAMES_READ))
        predictions = []
        found = video_classification.classify_video(recognizer, frames, every=every)
        with notes_kept() as notes:
            for prediction in video_classification.saved(found, labels, table, plot):
                predictions.append(prediction)
                on_progress(len(predictions), frames.n_frames and -(-frames.n_frames // every))
        lost = sum(prediction.face is None for prediction in predictions)
        if lost == len(predictions):
            raise NoFaceError(f"No face was found in {Path(video).name}; use a video where a face is well visible.")
        note = f"{len(predictions)} frames, about {FRAMES_READ} a second."
        if lost:
            note += f" {lost} of them do not show the face."
        return predictions, table, plot, " ".join([note, *notes])

    def told_of(predictions: list[PicturePrediction]) -> str:
        """How many faces there are, and which files gave none and why."""
        counts = len(predictions), sum(len(prediction.faces) for prediction in predictions)
        counted = ", ".join(f"{n} {what}{'s' * (n != 1)}" for n, what in zip(counts, ("picture", "face"), strict=True))
        missing = [
            prediction.error or f"No face was found in {Path(prediction.picture).name}; it must be well visible."
            for prediction in predictions
            if not prediction.faces
        ]
        more = [f"And {len(missing) - MOST_NAMED} more, which the table names."] if len(missing) > MOST_NAMED else []
        return "\n\n".join([f"{counted}.", *missing[:MOST_NAMED], *more])

    def read(files: list[str], request: gr.Request = None, progress=gr.Progress()):  # noqa: B008
        """Read the apparent expression of every face of pictures: what it looks like, not what the person feels.

        Returns a list of all faces with file, number (0 the largest), label, scores and box; the same as a CSV file;
        and a note that names the files in which no face was found, or which cannot be read.

        Args:
            files: the pictures.
        """
        if not files:
            raise gr.Error("Please choose pictures.", print_exception=False)
        with jobs.job(request, progress) as on_progress:
            predictions, table = pictures_read(files, on_progress)
        faces = [
            {"file": Path(prediction.picture).name, "face": number, **face.to_dict()}
            for prediction in predictions
            for number, face in enumerate(prediction.faces)
        ]
        return faces, table, told_of(predictions)

    def read_video(video: str, request: gr.Request = None, progress=gr.Progress()):  # noqa: B008
        """Read the apparent expression of the largest face over a video, ten times a second.

        Returns a CSV file with a row a frame, a plot over time, and a note.

        Args:
            video: any common video, or an animated picture.
        """
        if not video:
            raise gr.Error("Please choose a video.", print_exception=False)
        try:
            with jobs.job(request, progress) as on_progress:
                return video_read(video, on_progress)[1:]
        except LeedHubError as error:
            raise told(error) from error

    def is_video(file: str) -> bool:
        if is_picture(file):
            return is_animated(file)
        try:
            open_video(file)
        except BadVideoError:
            return False
        return True

    def on_files(files: list[str] | None, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        """A visitor's: where there is nothing to show, a note says why, and the last result stays."""
        nothing = [gr.skip()] * 5
        if not files:
            return *nothing, gr.skip()
        if has_expired(*files):
            return *nothing, EXPIRED
        try:
            with jobs.job(request, progress) as on_progress:
                if len(files) == 1 and is_video(files[0]):
                    frames, table, plot, note = video_read(files[0], on_progress)
                    rows = [ReadFace(f"{one.time_s:.2f} s", one.rank, one.face) for one in frames if one.face]
                    picture = plot
                else:
                    predictions, table = pictures_read(files, on_progress)
                    note = told_of(predictions)
                    rows = [
                        ReadFace(Path(prediction.picture).name, number, face, prediction)
                        for prediction in predictions
                        for number, face in enumerate(prediction.faces)
                    ]
                    picture = rows[0].drawn() if rows else None
        except LeedHubError as error:
            return *nothing, f"**{error}**"
        except Cancelled:
            return *nothing, "Cancelled."
        if not rows:
            return *nothing, note
        shown = {"headers": COLUMNS, "data": [row.cells() for row in rows]}
        if rows[0].picture is None:
            shown["headers"] = ["time", *COLUMNS[1:]]
        return picture, rows[0].face.scores, shown, gr.DownloadButton(value=table, interactive=True), rows, note

    def on_folder(files: list[str] | None, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        pictures = [file for file in files or [] if file.lower().endswith(ENDINGS)]
        if files and not pictures:
            return *[gr.skip()] * 5, f"**The folder holds no picture ({', '.join(ENDINGS)}).**"
        return on_files(pictures, request, progress)

    def on_row(rows: list[ReadFace], event: gr.SelectData):
        """The bars and the picture of the face of a row, wherever the visitor's sorting has put it."""
        row = next((row for row in rows or [] if row.cells()[:2] == list(event.row_value[:2])), None)
        if row is None:
            return gr.skip(), gr.skip(), "**These faces have been deleted, as all are after ten minutes.**"
        if row.picture is None:
            return gr.skip(), row.face.scores, gr.skip()
        try:
            return row.drawn(), row.face.scores, gr.skip()
        except LeedHubError:
            return gr.skip(), row.face.scores, EXPIRED

    with gr.Tab("Read"):
        rows = gr.State(None, time_to_live=KEPT_S)
        with gr.Row():
            with gr.Column(scale=3):
                picture = gr.Image(
                    label="Faces", format="jpeg", interactive=False, buttons=["download"], height=460,
                    elem_id="read-picture",
                )  # fmt: skip
                note = gr.Markdown("Choose pictures, or a video.", label="Note", elem_id="read-note")
            with gr.Column(scale=2):
                files = FaceFile(label="Pictures, or a video", file_count="multiple", elem_id="read-files", height=140)
                with gr.Accordion("A whole folder", open=False):
                    folder = FaceFile(
                        label="Folder of pictures", file_count="directory", elem_id="read-folder", height=140
                    )
                bars = gr.Label(label="Apparent expression", elem_id="read-bars")
        table = gr.Dataframe(
            headers=COLUMNS,
            datatype=["str", "number", "str", "number"],
            label="Faces: choose a row to see it",
            interactive=False,
            max_height=300,
            elem_id="read-table",
        )
        csv = gr.DownloadButton("Download the table (CSV)", interactive=False, elem_id="read-csv")
        gr.Markdown(LIMITS)
        gr.Examples(
            [[[str(EXAMPLES / f"{name}.png")]] for name in ("happiness", "surprise", "anger")],
            [files],
            cache_examples=False,
            label="Rendered examples",
        )

        shown = {"show_progress_on": picture, "api_visibility": "private"}
        for upload, reads in ((files, on_files), (folder, on_folder)):
            upload.change(reads, upload, [picture, bars, table, csv, rows, note], **shown)
            upload.clear(jobs.cancel, queue=False, api_visibility="private")
        table.select(on_row, rows, [picture, bars, note], show_progress="hidden", api_visibility="private")
        with gr.Group(visible=False):  # what clients get
            faces = gr.JSON(label="Faces")
            video, file, plot = FaceFile(label="Video"), gr.File(label="Table"), gr.Image(label="Plot", type="filepath")
            api = gr.Button()
            api.click(read, files, [faces, file, note], api_name="read", concurrency_limit=AT_ONCE)
            api.click(read_video, video, [file, plot, note], api_name="read_video", concurrency_limit=AT_ONCE)
    demo.unload(jobs.cancel)


def build_demo(editor: ExpressionEditor, recognizer: ExpressionRecognizer, note: str = "") -> gr.Blocks:
    """The page around two loaded pipelines; a note goes below its heading."""
    where = "" if os.environ.get("SPACE_ID") else ", on this machine alone"
    with Page(title="leed_hub", delete_cache=(KEPT_S // 2, KEPT_S // 2), analytics_enabled=False) as demo:
        gr.Markdown(f"# leed_hub\nEdit and read facial expressions{where}.\n\n{note}")
        consents = [photo_tab(editor, demo), video_tab(editor, demo), live_tab(editor, recognizer)]
        read_tab(recognizer, demo)
        for consent in consents:  # given once, for all tabs
            for other in consents:
                if other is not consent:
                    consent.input(lambda given: given, consent, other, queue=False, api_visibility="private")
    return demo


def keep_files_for_the_session() -> None:
    """Let uploads and results lie in a folder of their own that goes when the page ends, or, where that was killed,
    when the next one starts."""
    parent = Path(get_upload_folder())
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob("leed_hub-*-*"):
        owner = int(left.name.split("-")[1])
        if owner == os.getpid() or not is_running(owner):  # in containers, numbers come again
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"leed_hub-{os.getpid()}-", dir=parent)
    os.environ["GRADIO_TEMP_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # otherwise nothing is done at the end


def give_memory_back() -> None:
    """Let the system have what freed pictures took: glibc keeps it, and pictures of many sizes leave ever more holes.

    Asking it to keep nothing in the first place (`M_MMAP_THRESHOLD`) costs a drag a fifth of its pictures.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def tidy_memory() -> None:
    """Call `give_memory_back` now and then, for as long as the page is served."""
    while True:
        time.sleep(TIDY_S)
        give_memory_back()


def is_running(process: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def loaded(pipeline: type, name: str | None):
    """A pipeline with the weights of that name, or, where they cannot be had, with the bundled ones and a note."""
    try:
        return pipeline.from_pretrained(name), ""
    except LeedHubError as error:
        print(error, file=sys.stderr)
        return pipeline.from_pretrained(), f"**{name} could not be loaded; the bundled weights are in its place.**\n\n"


def main() -> None:
    """Load the weights and serve the page."""
    keep_files_for_the_session()
    threading.Thread(target=tidy_memory, daemon=True).start()
    torch.set_num_threads(1)  # two edit no sooner: the networks are small, and visitors share the cores
    editor, editors = loaded(ExpressionEditor, os.environ.get("LEED_HUB_EDITOR"))
    recognizer, recognizers = loaded(ExpressionRecognizer, os.environ.get("LEED_HUB_RECOGNIZER"))
    demo = build_demo(editor, recognizer, editors + recognizers)
    demo.queue(max_size=VISITORS).launch(
        state_session_capacity=VISITORS,
        mcp_server=find_spec("mcp") is not None,
        max_file_size="100mb",
        run_history=False,
        head=f"<style>{CSS}</style>",  # as `css` it could not reach the page's own frame
        js=NAMES,
        theme=THEME,
        allowed_paths=[str(EXAMPLES)],
    )


if __name__ == "__main__":
    main()
