"""The page: edit a face's expression, or read the expressions in a photograph.

    python app.py                    the bundled checkpoints, on http://127.0.0.1:7860
    LEED_HUB_EDITOR=org/name         weights from the Hub instead (also LEED_HUB_RECOGNIZER)

Runs locally, on a CPU Space and on ZeroGPU. Pictures are deleted after at most ten minutes, or when the page ends,
and never leave the machine that runs it.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import ImageDraw

from leed_hub import EditResult, ExpressionEditor, ExpressionRecognizer, LeedHubError
from leed_hub.media.images import load_image
from leed_hub.media.provenance import save_edited
from leed_hub.pipelines.expressions import Expression

try:  # ZeroGPU lends a GPU for the length of one call
    import spaces

    on_gpu = spaces.GPU
except ImportError:

    def on_gpu(function):
        return function


EXAMPLES = Path(__file__).parent / "docs" / "examples"
CONSENT = "I may use these pictures: they show me, or people who agreed. The result is marked as edited."
OWN = "my own picture"  # the expression of the visitor's reference
PREVIEW_SIDE = 900  # pixels; what is shown while controls move is at most so large
LIMITS = (
    "What a face *looks like* in one picture, not what the person feels. Not for decisions about people: using emotion "
    "recognition at work or in education is prohibited in the EU. Scores depend on light, pose, age and culture."
)


class FaceImage(gr.Image):
    """An upload that reaches us as the file it is: our own loader decodes it, upright and with metadata dropped.

    Only uploads are taken: gradio would fetch the address that a client gives in place of one.
    """

    is_template = True  # drawn by gradio's own image component

    async def async_move_resource_to_block_cache(self, url_or_file_path):
        if "://" in str(url_or_file_path):
            raise gr.Error("Upload the picture; addresses are not read.", print_exception=False)
        return await super().async_move_resource_to_block_cache(url_or_file_path)

    def preprocess(self, payload):
        if payload and (payload.url or "").startswith("data:"):
            raise gr.Error("Upload the picture; addresses are not read.", print_exception=False)
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


class Portrait:
    """A visitor's photograph: small and encoded once for what is shown while controls move, whole for the file.

    Args:
        editor: what edits it.
        path: the upload.
        face: "largest" or "all".
        needs_consent: whether it shows a real person.
    """

    def __init__(self, editor: ExpressionEditor, path: str, face: str = "largest", *, needs_consent: bool = True):
        self.path, self.face, self.needs_consent = path, face, needs_consent
        small = load_image(path)
        small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        self.session = editor.session(small, face=face)
        self.before = Path(tempfile.mkdtemp(dir=get_upload_folder())) / "before.jpg"
        small.save(self.before, quality=92)


def photo_tab(editor: ExpressionEditor, demo: gr.Blocks) -> None:
    """A photograph, an expression by name or from a picture, and controls that draw while they move."""

    def expression_of(name: str, own: Expression | None, mouth: float, eyes: float, *slides: float) -> Expression:
        expression = own if name == OWN and own is not None else editor.expression("neutral" if name == OWN else name)
        moved = {slider: value for slider, value in zip(editor.sliders, slides, strict=True) if value}
        return editor.slide(expression, moved).with_strengths(mouth=mouth, eyes=eyes)

    def lacks_consent(portrait: Portrait, consent: bool, name: str) -> bool:
        """The example is a render; a photograph, or a reference, of the visitor's shows somebody."""
        return consent is not True and (portrait.needs_consent or name == OWN)

    def saved(result: EditResult, name: str) -> str:
        """An edit as a marked file that goes with the page."""
        file = Path(tempfile.mkdtemp(dir=get_upload_folder())) / name
        save_edited(result.image, file, software=editor.software)
        return str(file)

    def draw(portrait: Portrait | None, consent: bool, strength: float, *wanted):
        """Before and after as the page shows them, and a note; the picture stays as it is where there is a message."""
        if portrait is None:
            return gr.skip(), "Choose a photo to begin."
        if lacks_consent(portrait, consent, wanted[0]):
            return gr.skip(), f"**Please confirm first:** {CONSENT}"
        try:
            result = portrait.session.render(expression_of(*wanted), strength)
        except LeedHubError as error:
            return gr.skip(), f"**{error}**"
        return (str(portrait.before), saved(result, "edited.jpg")), result.note

    def opened(path: str | None, face: str, consent: bool, strength: float, *wanted):
        """A new photograph, drawn with the controls as they stand."""
        if not path:
            return gr.skip(), gr.skip(), gr.skip()
        try:
            portrait = Portrait(editor, path, face)
        except LeedHubError as error:
            return gr.skip(), gr.skip(), f"**{error}**"
        return portrait, *draw(portrait, consent, strength, *wanted)

    def read_reference(path: str | None):
        """Whose expression is worn, of the visitor's own reference picture."""
        if not path:
            return None, gr.skip(), gr.skip()
        try:
            return editor.expression(path), OWN, ""
        except LeedHubError as error:
            return gr.skip(), gr.skip(), f"**The reference:** {error}"

    def example(*wanted):
        """What one sees on opening: a rendered face, which nobody's consent is needed for."""
        portrait = Portrait(editor, str(EXAMPLES / "source.png"), needs_consent=False)
        return portrait, *draw(portrait, True, 1.0, *wanted)

    def whole(portrait: Portrait | None, consent: bool, strength: float, *wanted) -> str:
        """The edit at the photograph's own size, as a PNG file named after it."""
        if portrait is None or lacks_consent(portrait, consent, wanted[0]):
            raise gr.Error("Choose a photo, and confirm that you may use it.", print_exception=False)
        try:
            result = editor(portrait.path, expression_of(*wanted), strength, face=portrait.face)
        except LeedHubError as error:
            raise told(error) from error
        return saved(result, f"{Path(portrait.path).stem}_edited.png")

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
            face: "largest" or "all".
            expression: "neutral", "smile" and so on.
            mouth: strength of the mouth alone.
            eyes: strength of eyes and brows alone.
        """
        if consent is not True:  # a client may send anything, such as the word "false"
            raise gr.Error("Please confirm that you may use these pictures.", print_exception=False)
        if not photo or (expression == OWN and not reference and strength > 0):
            raise gr.Error("Please choose a photo and a reference picture or expression.", print_exception=False)
        try:
            wanted = editor.expression(reference or ("neutral" if expression == OWN else expression))
            result = editor(photo, wanted.with_strengths(mouth=mouth, eyes=eyes), strength, face=face)
        except LeedHubError as error:
            raise told(error) from error
        return saved(
            result, f"{Path(photo).stem}_edited.png"
        ), f"Faces found by: {result.detector}. {result.note}".rstrip()

    with gr.Tab("Photo"), gr.Row():
        portrait, own = gr.State(None, time_to_live=600), gr.State(None, time_to_live=600)
        with gr.Column(scale=3):
            result = gr.ImageSlider(
                show_label=False, elem_id="photo-result", height=460, max_height=460, slider_position=50, format="jpeg"
            )
            note = gr.Markdown(elem_id="photo-note")
        with gr.Column(scale=2):
            photo = face_image("Your photo", "photo-source")
            consent = gr.Checkbox(label=CONSENT, elem_id="photo-consent")
            expression = gr.Radio(
                [*((name.capitalize(), name) for name in editor.presets), ("My own picture", OWN)],
                value="smile" if "smile" in editor.presets else "neutral",
                label="Expression",
                elem_id="photo-expression",
            )
            strength = gr.Slider(0, 2, 1, step=0.05, label="Strength", elem_id="photo-strength")
            with gr.Row():
                mouth = gr.Slider(0, 2, 1, step=0.05, label="Mouth", elem_id="photo-mouth", min_width=120)
                eyes = gr.Slider(0, 2, 1, step=0.05, label="Eyes and brows", elem_id="photo-eyes", min_width=120)
            with gr.Accordion("Fine control", open=False, visible=bool(editor.sliders)):
                slides = [gr.Slider(-1, 1, 0, step=0.05, label=name.capitalize()) for name in editor.sliders]
            with gr.Accordion("The expression of another picture", open=False):
                reference = face_image("Reference: whose expression your photo takes", "photo-reference")
            face = gr.Radio(
                [("the largest face", "largest"), ("all faces", "all")], value="largest", label="If there are several"
            )
            save = gr.Button("Save full size", variant="primary", elem_id="photo-save")
            file = gr.File(label="Edited photo (PNG, marked as AI-edited)", elem_id="photo-file")

        wanted = [expression, own, mouth, eyes, *slides]
        controls = [portrait, consent, strength, *wanted]
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        photo.input(opened, [photo, face, consent, strength, *wanted], [portrait, result, note], **quiet)
        face.input(opened, [photo, face, consent, strength, *wanted], [portrait, result, note], **quiet)
        reference.input(read_reference, reference, [own, expression, note], **quiet).then(
            draw, controls, [result, note], **quiet
        )
        for control in (consent, expression, strength, mouth, eyes, *slides):
            control.input(draw, controls, [result, note], trigger_mode="always_last", **quiet)
        save.click(whole, controls, file, api_visibility="private")
        gr.Button(visible=False).click(
            edit, [photo, reference, strength, consent, face, expression, mouth, eyes], [file, note], api_name="edit"
        )
    demo.load(example, wanted, [portrait, result, note], **quiet)


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
        photo_tab(editor, demo)
        classify_tab(recognizer)
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


def is_running(process: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def main() -> None:
    """Load the weights and serve the page."""
    keep_files_for_the_session()
    demo = build_demo(
        ExpressionEditor.from_pretrained(os.environ.get("LEED_HUB_EDITOR")),
        ExpressionRecognizer.from_pretrained(os.environ.get("LEED_HUB_RECOGNIZER")),
    )
    demo.queue(max_size=16).launch(max_file_size="20mb", run_history=False, allowed_paths=[str(EXAMPLES)])


if __name__ == "__main__":
    main()
