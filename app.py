"""The page: edit a face's expression, or read the expressions in a photograph.

    python app.py                    the bundled checkpoints, on http://127.0.0.1:7860
    LEED_HUB_EDITOR=org/name         weights from the Hub instead (also LEED_HUB_RECOGNIZER)

Runs locally, on a CPU Space and on ZeroGPU. Pictures are deleted after at most ten minutes and never leave the machine
that runs the page.
"""

import os
import shutil
import tempfile
import threading
from pathlib import Path

import gradio as gr
from PIL import ImageDraw

from leed_hub import ExpressionEditor, ExpressionRecognizer, LeedHubError
from leed_hub.media.images import load_image
from leed_hub.media.provenance import save_edited

try:  # ZeroGPU lends a GPU for the length of one call
    import spaces

    on_gpu = spaces.GPU
except ImportError:

    def on_gpu(function):
        return function


EXAMPLES = Path(__file__).parent / "docs" / "examples"
CONSENT = "I may use these pictures: they show me, or people who agreed. The result is marked as edited."
LIMITS = (
    "What a face *looks like* in one picture, not what the person feels. Not for decisions about people: using emotion "
    "recognition at work or in education is prohibited in the EU. Scores depend on light, pose, age and culture."
)


class FaceImage(gr.Image):
    """An upload that reaches us as the file it is: our own loader decodes it, upright and with metadata dropped."""

    is_template = True  # drawn by gradio's own image component

    def preprocess(self, payload):
        try:
            return super().preprocess(payload)
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error("This file could not be read as an image.", print_exception=False) from error


def face_image(label: str, elem_id: str) -> FaceImage:
    """An upload of our kind; without `image_mode=None` gradio would decode and save the file anew."""
    return FaceImage(
        type="filepath", image_mode=None, sources=["upload", "webcam"], label=label, elem_id=elem_id, height=300
    )


def told(error: LeedHubError) -> gr.Error:
    """Our own errors carry a sentence for the user."""
    return gr.Error(str(error), print_exception=False)


def edit_tab(editor: ExpressionEditor) -> None:
    """Two pictures in, the edited one out."""

    @on_gpu
    def edit(
        source: str,
        reference: str,
        strength: float,
        consent: bool,
        face: str = "largest",
        progress=gr.Progress(),  # noqa: B008
    ):
        """Give the source face, or all, the expression of the reference face; returns before/after and a PNG file."""
        if not consent:
            raise gr.Error("Please confirm that you may use these pictures.", print_exception=False)
        if not source or (not reference and strength > 0):
            raise gr.Error("Please choose a source and a reference picture.", print_exception=False)
        progress(0.1, desc="Finding the faces")
        try:
            before = load_image(source)
            result = editor(before, reference or None, strength, face=face)
        except LeedHubError as error:
            raise told(error) from error
        progress(0.9, desc="Saving")
        folder = Path(tempfile.mkdtemp())  # gradio at once copies what is returned into its cache, which it empties
        forget = threading.Timer(60, shutil.rmtree, (folder, True))
        forget.daemon = True
        forget.start()
        save_edited(result.image, folder / "edited.png", software=editor.software)
        before.save(folder / "before.png")
        note = f"Faces found by: {result.detector}. {result.note}".rstrip()
        edited = str(folder / "edited.png")
        return (str(folder / "before.png"), edited), edited, note

    with gr.Tab("Edit"):
        with gr.Row():
            with gr.Column():
                with gr.Row():
                    source = face_image("Source: whose face is edited", "edit-source")
                    reference = face_image("Reference: whose expression it takes", "edit-reference")
                strength = gr.Slider(0, 2, 1, step=0.05, label="Strength (0 neutral, 1 as the reference)")
                face = gr.Radio(
                    [("the largest face", "largest"), ("all faces", "all")],
                    value="largest",
                    label="If the source shows several: edit",
                    elem_id="edit-face",
                )
                consent = gr.Checkbox(label=CONSENT, elem_id="edit-consent")
                edit_button = gr.Button("Edit", variant="primary", elem_id="edit-run")
            with gr.Column():
                result = gr.ImageSlider(
                    label="Before / after", format="png", elem_id="edit-result", height=420, slider_position=25
                )
                download = gr.File(label="Edited picture (PNG, marked as AI-edited)", elem_id="edit-file")
                note = gr.Markdown(elem_id="edit-note")
        edit_button.click(edit, [source, reference, strength, consent, face], [result, download, note], api_name="edit")
        gr.Examples(
            [
                [str(EXAMPLES / "source.png"), str(EXAMPLES / f"{name}.png")]
                for name in ("happiness", "surprise", "anger")
            ],
            [source, reference],
            cache_examples=False,
            label="Rendered examples",
        )


def classify_tab(recognizer: ExpressionRecognizer) -> None:
    """A picture in, every face's apparent expression out."""

    @on_gpu
    def classify(image: str):
        """Read the apparent expression of every face; returns the picture with boxes, bars, and all numbers."""
        if not image:
            raise gr.Error("Please choose a picture.", print_exception=False)
        try:
            photo = load_image(image)
            faces = recognizer(photo)
        except LeedHubError as error:
            raise told(error) from error
        if not faces:
            raise gr.Error("No face was found; use a picture where a face is well visible.", print_exception=False)
        marked = photo.copy()
        draw = ImageDraw.Draw(marked)
        line = max(2, round(max(photo.size) / 250))
        for number, face in enumerate(faces, 1):
            draw.rectangle(face.box, outline=(255, 170, 0), width=line)
            text = f"{number} {face.label} {face.scores[face.label]:.0%}"
            draw.text((face.box[0] + 2 * line, face.box[1] + line), text, fill=(255, 255, 255), font_size=8 * line,
                      stroke_width=line, stroke_fill=(0, 0, 0))  # fmt: skip
        numbers = [{"label": face.label, "scores": face.scores, "box": face.box} for face in faces]
        return marked, faces[0].scores, numbers

    with gr.Tab("Classify"):
        with gr.Row():
            with gr.Column():
                image = face_image("Photograph", "classify-image")
                classify_button = gr.Button("Classify", variant="primary", elem_id="classify-run")
            with gr.Column():
                boxes = gr.Image(
                    label="Faces", format="png", interactive=False, buttons=["download"], elem_id="classify-boxes"
                )
                bars = gr.Label(label="Apparent expression of the largest face", elem_id="classify-bars")
        with gr.Accordion("All faces, all numbers", open=False):
            numbers = gr.JSON(show_label=False, elem_id="classify-numbers")
        gr.Markdown(LIMITS)
        classify_button.click(classify, [image], [boxes, bars, numbers], api_name="classify")
        gr.Examples(
            [[str(EXAMPLES / f"{name}.png")] for name in ("happiness", "surprise", "anger")],
            [image],
            cache_examples=False,
            label="Rendered examples",
        )


def build_demo(editor: ExpressionEditor, recognizer: ExpressionRecognizer) -> gr.Blocks:
    """The page around two loaded pipelines."""
    with gr.Blocks(title="leed_hub", delete_cache=(300, 300), analytics_enabled=False) as demo:
        gr.Markdown("# leed_hub\nEdit and read facial expressions, on this machine alone.")
        edit_tab(editor)
        classify_tab(recognizer)
    return demo


def main() -> None:
    """Load the weights and serve the page."""
    demo = build_demo(
        ExpressionEditor.from_pretrained(os.environ.get("LEED_HUB_EDITOR")),
        ExpressionRecognizer.from_pretrained(os.environ.get("LEED_HUB_RECOGNIZER")),
    )
    demo.queue(max_size=16).launch(max_file_size="20mb", run_history=False, allowed_paths=[str(EXAMPLES)])


if __name__ == "__main__":
    main()
