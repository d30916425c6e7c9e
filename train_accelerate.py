"""Train the editor, the recogniser or the face locator.

    accelerate launch train_accelerate.py --config configs/recognizer/1_small.yaml
    accelerate launch train_accelerate.py --config configs/editor.yaml --resume

The same lines run on a CPU, on one GPU and on several. Two CPU processes start by
`torchrun --standalone --nproc_per_node 2 train_accelerate.py ...` (`accelerate launch --cpu` starts only one).
A run writes into the config's `output_dir`: TensorBoard logs, checkpoints, `run.json` (the whole config, the commit,
the corpora's fingerprints, the time), and folders that `from_pretrained` loads: `best/`, `last/`, and `finished/` where
the config asks for a last step on the best weights. Stages write into folders of their own below it.
"""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
import typer
import yaml
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, set_seed, tqdm
from timm.optim import create_optimizer_v2, list_optimizers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from leed_hub.data.fingerprint import corpus_fingerprint
from leed_hub.errors import ConfigError, LeedHubError
from leed_hub.hub import push_folder
from leed_hub.models.hub import CardFacts
from leed_hub.recipes import MODELS, Settings, build_recipe, read_settings
from leed_hub.training import (
    anchors_of_step,
    computes_fast_in_bf16,
    generator_of_step,
    learning_rate,
    load_checkpoint,
    orthogonalise_in_float32,
    save_checkpoint,
)

RUN = "run.json"


@dataclass(kw_only=True)
class TrainConfig:
    """One run; a YAML file of `configs/` holds these fields, or `extends: FILE` and what is different from that file.

    Attributes:
        task: "editing", "recognition" or "locating".
        output_dir: where the run writes.
        model, losses, data: passed to the task's recipe, see `leed_hub.recipes`.
        card: title, summary, datasets and limitations for the model card, see `CardFacts`.
        init: a saved model's folder or Hub name: the training starts from its weights, and from fresh ones where the
            new network has parts that it lacks. Of several the mean is taken (Wortsman et al. 2022, arXiv:2203.05482).
        frozen: parts of the network, such as "encoder", that stay as they are, running statistics included.
        steps: optimizer steps; each training or each of its stages needs them.
        batch_size: pictures a process takes a step.
        optimizer: timm's name of it, such as "adamw" or "muon".
        learning_rate: the peak; it rises over `warmup_steps` and falls to 0 as a half cosine over the last
            `decay_steps`, by default all that follow.
        ema_halflife_steps: half-life of the weights' exponential moving average, which is what gets saved.
        max_gradient_norm: gradients are clipped to this norm.
        mixed_precision: "no", "bf16", or "auto": bf16 where the machine computes in it fast (GPUs, and CPUs with
            AVX512-BF16 or AMX).
        save_half: store the weights of `best/` as float16; they are computed with in float32 all the same.
        log_every, evaluate_every, checkpoint_every: in steps.
        stages: trainings one after the other, each from the weights that the one before publishes: a `name` and what is
            different from the fields above. Without stages the config is one training.
    """

    task: str
    output_dir: str
    steps: int = 0
    model: dict = field(default_factory=dict)
    losses: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    card: dict = field(default_factory=dict)
    init: str | list[str] | None = None
    frozen: list[str] = field(default_factory=list)
    seed: int = 0
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    critic_learning_rate: float = 5e-4
    warmup_steps: int = 100
    decay_steps: int | None = None
    ema_halflife_steps: int = 100
    max_gradient_norm: float = 1.0
    mixed_precision: str = "auto"
    save_half: bool = False
    log_every: int = 20
    evaluate_every: int = 500
    checkpoint_every: int = 500
    stages: list[dict] = field(default_factory=list)

    def __post_init__(self):
        if self.stages:  # each is checked as it will run
            self.as_stages()
            return
        for name in ("steps", "batch_size", "log_every", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        CardFacts(**self.card)  # a card that cannot be written is better known before the training than after
        if self.optimizer not in list_optimizers():
            raise ConfigError(f"optimizer is a name of timm's, such as 'adamw' or 'muon'; got {self.optimizer!r}.")
        if self.mixed_precision not in ("no", "bf16", "auto"):
            raise ConfigError(f"mixed_precision must be 'no', 'bf16' or 'auto'; got {self.mixed_precision!r}.")
        settings = self.settings()
        if self.frozen:
            with torch.device("meta"):
                network = MODELS[self.task](settings.model)
            for name in self.frozen:
                submodule(network, name)

    def settings(self) -> Settings:
        """The task's part of the config, checked; a `ConfigError` names what is misspelt."""
        return read_settings(self.task, self.model, self.losses, self.data)

    def as_stages(self) -> list["TrainConfig"]:
        """The trainings to run, in order; this config itself where it names no stages."""
        if not self.stages:
            return [self]
        common = {name: value for name, value in vars(self).items() if name != "stages"}
        found, names = [], [stage.get("name") for stage in self.stages]
        if None in names or len(set(names)) < len(names):
            raise ConfigError(f"Each stage needs a name of its own; got {names}.")
        for number, stage in enumerate(self.stages, 1):
            changes = {name: value for name, value in stage.items() if name != "name"}
            if misplaced := {"task", "output_dir", "stages"} & changes.keys():
                raise ConfigError(f"A stage cannot have {', '.join(sorted(misplaced))} of its own.")
            if number > 1 and "init" in changes:
                raise ConfigError("Only the first stage may start from other weights than those of the one before.")
            output_dir = f"{self.output_dir}/{number}_{stage['name']}"
            found.append(TrainConfig(**overlaid(common, changes) | {"output_dir": output_dir}))
        return found


def read_config(path: Path) -> TrainConfig:
    """A YAML file as a `TrainConfig`; a misspelt or missing field is a `ConfigError` that names it."""
    try:
        return TrainConfig(**read_mapping(path))
    except (OSError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name} is not a usable training config: {error}.") from error


def read_mapping(path: Path) -> dict:
    """A YAML file laid over the one that it `extends`, if any; that one's place is relative to it."""
    settings = yaml.safe_load(path.read_text())
    if not isinstance(settings, dict):
        raise ConfigError(f"{path.name} is not a usable training config: it holds no fields.")
    base = settings.pop("extends", None)
    return settings if base is None else overlaid(read_mapping(path.parent / base), settings)


def overlaid(base: dict, changes: dict) -> dict:
    """`base` with `changes`, which reach into mappings and replace anything else."""
    both = [key for key in changes if isinstance(changes[key], dict) and isinstance(base.get(key), dict)]
    return base | changes | {key: overlaid(base[key], changes[key]) for key in both}


class Progress:
    """What a checkpoint remembers besides weights and optimizers; accelerate saves and loads it."""

    def __init__(self):
        self.best_score, self.seconds = float("-inf"), 0.0

    def state_dict(self) -> dict:
        return vars(self).copy()

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)


def train_stages(config: TrainConfig, *, resume: bool, max_steps: int | None, command: str) -> Path | None:
    """Run or go on with a config's stages; returns the folder of what is to be published, None where steps are left.

    With `resume`, stages that are done are passed over.
    """
    published, minutes = None, 0.0
    for stage in config.as_stages():
        if published is not None:
            stage = dataclasses.replace(stage, init=str(published))
        record = Path(stage.output_dir) / RUN
        done = json.loads(record.read_text()) if resume and record.is_file() else {}
        if not done.get("published"):
            if not train(stage, resume=resume, max_steps=max_steps, command=command, minutes_before=minutes):
                return None
            done = json.loads(record.read_text())
        published, minutes = Path(stage.output_dir) / done["published"], minutes + done["minutes"]
    return published


def train(
    config: TrainConfig, *, resume: bool, max_steps: int | None, command: str, minutes_before: float = 0.0
) -> bool:
    """Run or go on with one training; tells whether it is done. What it publishes stands in its `run.json`."""
    output_dir = Path(config.output_dir)
    precision = config.mixed_precision
    if precision == "auto":
        precision = "bf16" if computes_fast_in_bf16() else "no"
    accelerator = Accelerator(
        mixed_precision=precision,
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(output_dir), logging_dir=str(output_dir / "logs")),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
    )
    set_seed(config.seed)  # before the networks are built, so that it governs their first weights too
    device, rank, world_size = accelerator.device, accelerator.process_index, accelerator.num_processes

    # Networks, data and task.
    settings = config.settings()
    recipe = build_recipe(settings)
    model = recipe.model.to(memory_format=torch.channels_last)
    if config.init:
        warm_start(model, [config.init] if isinstance(config.init, str) else config.init)
    frozen = [submodule(model, name).requires_grad_(False) for name in config.frozen]
    if not computes_fast_in_bf16():
        orthogonalise_in_float32()
    optimizer = create_optimizer_v2(
        model, config.optimizer, config.learning_rate, config.weight_decay, filter_bias_and_bn=False
    )
    ema_decay = 0.5 ** (1 / config.ema_halflife_steps)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    ema.to(device)
    critics, critic_optimizer = recipe.critics, None
    if critics is not None:
        critics = critics.to(memory_format=torch.channels_last)
        critic_optimizer = torch.optim.AdamW(critics.parameters(), config.critic_learning_rate, betas=(0.5, 0.99))
        critics, critic_optimizer = accelerator.prepare(critics, critic_optimizer)
    task = recipe.make_task(model, critics)
    progress = Progress()
    accelerator.register_for_checkpointing(ema, progress)

    # Resume.
    output_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = output_dir / "checkpoints"
    first_step = load_checkpoint(accelerator, checkpoints) if resume else 0
    last_step = min(config.steps, first_step + max_steps if max_steps else config.steps)
    if accelerator.is_main_process:
        run = {
            "command": command,
            "commit": commit(),
            "corpora": fingerprints(settings),
            "versions": {name: version(name) for name in ("torch", "timm", "accelerate", "datasets")},
            "config": dataclasses.asdict(config),
        }
        (output_dir / RUN).write_text(json.dumps(run, indent=2) + "\n")
    accelerator.init_trackers("leed_hub")
    stop = StopSignal()

    def update(network, its_optimizer, loss: torch.Tensor) -> bool:
        """One optimizer step; False, and the weights untouched, when the gradient is not finite."""
        its_optimizer.zero_grad()
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(network.parameters(), config.max_gradient_norm)
        finite = bool(torch.isfinite(norm))  # the same on all processes: gradients are averaged before
        if finite:
            its_optimizer.step()
        return finite

    def evaluate(step: int) -> None:
        """Measure and save the averaged weights, and once more if they are the best so far."""
        ema.eval()
        with torch.inference_mode(), accelerator.autocast():
            numbers = recipe.evaluate(ema.module, device)
            picture = recipe.samples(ema.module, device) if recipe.samples else None
        accelerator.log({f"evaluation/{name}": value for name, value in numbers.items()}, step=step)
        if picture is not None:
            accelerator.get_tracker("tensorboard").log_images({"samples": picture[None].numpy()}, step=step)
        accelerator.print(f"step {step}: " + ", ".join(f"{name} {value:.4f}" for name, value in numbers.items()))
        facts = card_facts(config, run, progress, step, minutes_before)
        ema.module.save_pretrained(output_dir / "last", card=facts, half=config.save_half)
        if recipe.score(numbers) > progress.best_score:
            progress.best_score = recipe.score(numbers)
            ema.module.save_pretrained(output_dir / "best", card=facts, half=config.save_half)

    # The loop.
    bar = tqdm(range(first_step, last_step), initial=first_step, total=config.steps, desc=config.task)
    skipped = 0
    for step in bar:
        started = time.monotonic()
        anchors = anchors_of_step(len(recipe.feed), config.batch_size, step, config.seed, rank, world_size)
        batch = recipe.feed.batch(anchors, generator_of_step(config.seed, step, rank), device)
        rate = learning_rate(
            step, peak=1.0, steps=config.steps, warmup_steps=config.warmup_steps, decay_steps=config.decay_steps
        )

        model.train()
        for part in frozen:
            part.eval()
        set_rate(optimizer, config.learning_rate * rate)
        with accelerator.autocast():
            terms, judged = task.generator_losses(batch, step)
        finite = update(model, optimizer, terms["loss"])
        if finite:
            ema.update_parameters(accelerator.unwrap_model(model))
        if critics is not None:
            set_rate(critic_optimizer, config.critic_learning_rate * rate)
            with accelerator.autocast():
                critic_terms = task.critic_losses(batch, judged, step)
            if critic_terms:
                finite &= update(critics, critic_optimizer, critic_terms.pop("loss"))
                terms |= critic_terms
        skipped = 0 if finite else skipped + 1
        if skipped == 10:
            raise LeedHubError(f"Ten steps in a row gave no finite gradient (now at {step}); lower the learning rate.")
        progress.seconds += time.monotonic() - started

        done = step + 1
        if done % config.log_every == 0:
            numbers = {name: value.item() for name, value in terms.items()}
            accelerator.log(
                {f"train/{name}": value for name, value in numbers.items()} | {"train/rate": rate}, step=done
            )
            bar.set_postfix(loss=f"{numbers['loss']:.3f}")
        if done % config.evaluate_every == 0 or done == config.steps:
            if accelerator.is_main_process:
                evaluate(done)
            accelerator.wait_for_everyone()
        if done % config.checkpoint_every == 0 or done == last_step or stop.asked:
            save_checkpoint(accelerator, checkpoints, done)
        if stop.asked:
            accelerator.print(f"Stopped after step {done}; --resume goes on from here.")
            break
    for tracker in accelerator.trackers:
        tracker.finish()
    if last_step < config.steps or stop.asked:
        return False
    if accelerator.is_main_process:
        published = "best"
        if recipe.finish:
            published = "finished"
            finished = recipe.finish(type(recipe.model).from_pretrained(output_dir / "best"))
            facts = CardFacts.read(output_dir / "best")
            finished.save_pretrained(output_dir / published, card=facts, half=config.save_half)
        run |= {"published": published, "minutes": progress.seconds / 60}
        (output_dir / RUN).write_text(json.dumps(run, indent=2) + "\n")
    accelerator.wait_for_everyone()
    return True


def fingerprints(settings: Settings) -> dict[str, str]:
    """What tells each corpus' exact files, by its name."""
    return {entry.corpus: corpus_fingerprint(entry.corpus, entry.folder) for entry in settings.data.corpora}


def commit() -> str:
    """The commit of this checkout, with a "+" where files differ from it; "" outside of git."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def warm_start(model, names_or_folders: list[str]) -> None:
    """Take over the weights of a saved model, or the mean of several; parts that they lack stay as they are."""
    saved = [type(model).from_pretrained(name).state_dict() for name in names_or_folders]
    if unknown := sorted(saved[0].keys() - model.state_dict().keys()):
        raise ConfigError(f"init has weights that the new network lacks, {unknown[0]} among {len(unknown)}.")
    shapes = [{name: weight.shape for name, weight in one.items()} for one in saved]
    if any(one != shapes[0] for one in shapes):
        raise ConfigError("init names networks of different parts; only equal ones have a mean.")
    mean = {
        name: torch.stack([one[name].float() for one in saved]).mean(dim=0).to(weight.dtype)
        for name, weight in saved[0].items()
    }
    model.load_state_dict(model.state_dict() | mean)


def submodule(model, name: str) -> torch.nn.Module:
    """A part of the network by its name; an unknown one is a `ConfigError`."""
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(f"frozen names parts of the network; it has no {name!r}.") from error


def set_rate(optimizer, rate: float) -> None:
    """The learning rate is a function of the step, so a resumed run is the same run."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class StopSignal:
    """SIGTERM and SIGINT ask for a checkpoint and a clean end."""

    def __init__(self):
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_):
        self.asked = True


def card_facts(config: TrainConfig, run: dict, progress: Progress, step: int, minutes_before: float) -> CardFacts:
    """What the card says of this run; the measured numbers on test splits are added after `leed-hub evaluate`."""
    minutes = minutes_before + progress.seconds / 60
    stage = f" of {Path(config.output_dir).name}" if minutes_before else ""
    corpora = ", ".join(f"{name} `{fingerprint}`" for name, fingerprint in run["corpora"].items())
    return CardFacts(
        **config.card,
        training_command=run["command"],
        training_notes=(
            f"Step {step} of {config.steps}{stage}, batches of {config.batch_size}, {minutes / 60:.1f} hours in all, "
            f"at commit `{run['commit'] or 'unknown'}`. Fingerprints of the corpora: {corpora}."
        ),
        metrics=[],
    )


def main(
    config: Annotated[Path, typer.Option(help="A YAML file of configs/.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    max_steps: Annotated[
        int | None, typer.Option("--max_steps", help="Stop after so many steps of this start.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry_run", help="Print the resolved config and stop.")] = False,
    output_dir: Annotated[str | None, typer.Option("--output_dir", help="Instead of the config's.")] = None,
    push_to_hub: Annotated[str | None, typer.Option("--push_to_hub", help="ORG/NAME the best weights go to.")] = None,
) -> None:
    """Train the editor, the recogniser or the face locator from a config."""
    try:
        settings = read_config(config)
        if output_dir:
            settings.output_dir = output_dir
        if dry_run:
            stages = [dataclasses.asdict(stage) for stage in settings.as_stages()]
            print(yaml.safe_dump(stages if settings.stages else stages[0], sort_keys=False))
            return
        command = f"accelerate launch train_accelerate.py --config {config.as_posix()}"
        published = train_stages(settings, resume=resume, max_steps=max_steps, command=command)
        PartialState().destroy_process_group()  # not after each stage: the next one goes on in the same processes
        if published and push_to_hub:
            print(push_folder(published, push_to_hub))
    except LeedHubError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
