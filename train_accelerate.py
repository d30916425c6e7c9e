"""Train the editor or the recogniser.

    accelerate launch train_accelerate.py --config configs/recognizer.yaml
    accelerate launch train_accelerate.py --config configs/editor.yaml --resume

The same lines run on a CPU, on one GPU and on several. Two CPU processes start by
`torchrun --standalone --nproc_per_node 2 train_accelerate.py ...` (`accelerate launch --cpu` starts only one).
A run writes into the config's `output_dir`: TensorBoard logs, checkpoints, `run.json` (the whole config, the commit,
the corpora's fingerprints, the time), and folders that `from_pretrained` loads: `best/`, `last/`, and `finished/` where
the config asks for a last step on the best weights. Stages write into folders of their own below it.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
import yaml
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, set_seed, tqdm
from timm.optim import create_optimizer_v2
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from leed_hub.errors import ConfigError, LeedHubError
from leed_hub.hub import ensure_repository, push_folder
from leed_hub.models.card import CardFacts
from leed_hub.training.batches import StepBatches
from leed_hub.training.checkpoints import checkpoint_folders, newest_checkpoint, save_checkpoint, warm_start
from leed_hub.training.config import TrainConfig, read_config, submodule
from leed_hub.training.hardware import computes_fast_in_bf16, orthogonalise_in_float32
from leed_hub.training.recipes import build_recipe
from leed_hub.training.run import (
    Progress,
    StopSignal,
    card_facts,
    fingerprints,
    read_record,
    run_record,
    training_data,
    write_record,
)
from leed_hub.training.schedule import learning_rate

CHECKPOINTS = "checkpoints"  # their folder below an output_dir


def train_stages(config: TrainConfig, *, resume: bool, max_steps: int | None, command: str) -> Path | None:
    """Run or go on with a config's stages; returns the folder of what is to be published, None where steps are left.

    With `resume`, stages that are done are passed over.

    Raises:
        ConfigError: without `resume`, if there is a run in the output_dir; nothing has been touched then.
    """
    stages = config.as_stages()
    for folder in (Path(stage.output_dir) for stage in stages):
        if not resume and (read_record(folder) or checkpoint_folders(folder / CHECKPOINTS)):
            raise ConfigError(f"{folder} holds a run: --resume goes on with it; a new one needs another --output_dir.")
    published, minutes = None, 0.0
    of_stage: dict[str, str] = {}  # what each stage has published, by its name
    with StopSignal() as stop:
        for stage, name in zip(stages, [stage["name"] for stage in config.stages] or [""], strict=True):
            if published is not None and stage.init is None:
                stage = dataclasses.replace(stage, init=str(published))
            stage = dataclasses.replace(stage, teachers=[of_stage.get(teacher, teacher) for teacher in stage.teachers])
            folder = Path(stage.output_dir)
            done = read_record(folder)
            if not done.get("published") or done["config"]["steps"] < stage.steps:
                if not train(stage, stop, resume=resume, max_steps=max_steps, command=command, minutes_before=minutes):
                    return None
                done = read_record(folder)
            published, minutes = folder / done["published"], minutes + done["minutes"]
            of_stage[name] = str(published)
    return published


def train(
    config: TrainConfig,
    stop: StopSignal,
    *,
    resume: bool,
    max_steps: int | None,
    command: str,
    minutes_before: float = 0.0,
) -> bool:
    """Run or go on with one training; tells whether it is done. What it publishes stands in its `run.json`."""
    output_dir = Path(config.output_dir)
    precision = config.mixed_precision
    if precision == "auto":
        precision = "bf16" if computes_fast_in_bf16() else "no"
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # untold, several processes on CPUs would not know of each other
        mixed_precision=precision,
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(output_dir), logging_dir=str(output_dir / "logs")),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
    )
    set_seed(config.seed)  # before the networks are built, so that it governs their first weights too
    device, rank, world_size = accelerator.device, accelerator.process_index, accelerator.num_processes

    # What is gone on with, before anything is read or written.
    corpora = fingerprints(config) if accelerator.is_main_process else {}
    run = run_record(config, command, corpora, world_size)
    checkpoints = output_dir / CHECKPOINTS
    checkpoint = newest_checkpoint(checkpoints) if resume else None
    if checkpoint:
        checkpoint.check(run, world_size)

    # Networks, data and task.
    recipe = build_recipe(config)
    model = recipe.model.to(memory_format=torch.channels_last)
    if config.init:
        warm_start(model, [config.init] if isinstance(config.init, str) else config.init)
    origin = training_data(config) if accelerator.is_main_process else {}
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
    discriminators, discriminator_optimizer = recipe.discriminators, None
    if discriminators is not None:
        discriminators = discriminators.to(memory_format=torch.channels_last)
        discriminator_optimizer = torch.optim.AdamW(
            discriminators.parameters(), config.discriminator_learning_rate, betas=(0.5, 0.99)
        )
        discriminators, discriminator_optimizer = accelerator.prepare(discriminators, discriminator_optimizer)
    task = recipe.make_task(model, discriminators)
    progress = Progress()

    # Resume.
    parts = {"model": accelerator.unwrap_model(model), "ema": ema, "optimizer": optimizer, "progress": progress}
    if discriminators is not None:
        parts["discriminators"] = accelerator.unwrap_model(discriminators)
        parts["discriminator_optimizer"] = discriminator_optimizer
    if checkpoint:
        checkpoint.load(parts, rank)
    first_step = checkpoint.step if checkpoint else 0
    last_step = min(config.steps, first_step + max_steps if max_steps else config.steps)
    if accelerator.is_main_process:
        output_dir.mkdir(parents=True, exist_ok=True)
        write_record(output_dir, run)
    accelerator.init_trackers("leed_hub")

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
        facts = card_facts(config, run, origin, progress, step, minutes_before)
        ema.module.save_pretrained(output_dir / "last", card=facts, half=config.save_half)
        if recipe.score(numbers) > progress.best_score:
            progress.best_score = recipe.score(numbers)
            ema.module.save_pretrained(output_dir / "best", card=facts, half=config.save_half)

    # The loop.
    stopping = False
    bar = tqdm(range(first_step, last_step), initial=first_step, total=config.steps, desc=config.task)
    skipped = 0
    batches = StepBatches(recipe.feed, config.batch_size, config.seed, rank, world_size, device)
    started = time.monotonic()
    for step, (batch, seed) in zip(bar, batches.made_ahead(range(first_step, last_step), config.workers), strict=True):
        torch.manual_seed(seed)  # dropout is a function of the step too
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
        if discriminators is not None:
            set_rate(discriminator_optimizer, config.discriminator_learning_rate * rate)
            with accelerator.autocast():
                discriminator_terms = task.discriminator_losses(batch, judged, step)
            if discriminator_terms:
                finite &= update(discriminators, discriminator_optimizer, discriminator_terms.pop("loss"))
                terms |= discriminator_terms
        skipped = 0 if finite else skipped + 1
        if skipped == 10:
            raise LeedHubError(
                f"Ten steps in a row gave no finite gradient (now at step {step}, where the learning rate is "
                f"{config.learning_rate * rate:.3g}); lower learning_rate."
            )
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
        if stop.asked:
            accelerator.set_trigger()
        stopping = accelerator.check_trigger()  # all processes together, whichever was asked
        if done % config.checkpoint_every == 0 or done == last_step or stopping:
            save_checkpoint(accelerator, parts, checkpoints, done, run)
        if stopping:
            accelerator.print(f"Stopped after step {done}; --resume goes on from here.")
            break
        started = time.monotonic()
    for tracker in accelerator.trackers:
        tracker.finish()
    if last_step < config.steps or stopping:
        return False
    if accelerator.is_main_process:
        published = "best"
        if recipe.finish:
            published = "finished"
            finished = recipe.finish(type(recipe.model).from_pretrained(output_dir / "best"))
            facts = CardFacts.read(output_dir / "best")
            finished.save_pretrained(output_dir / published, card=facts, half=config.save_half)
        run |= {"published": published, "minutes": progress.seconds / 60}
        write_record(output_dir, run)
    accelerator.wait_for_everyone()
    return True


def set_rate(optimizer, rate: float) -> None:
    """The learning rate is a function of the step, so a resumed run is the same run."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def shown(path: Path) -> str:
    """A file as a card may name it: from here, or by its bare name; other people's folders are nobody's business."""
    inside = path.resolve().is_relative_to(Path.cwd())
    return path.resolve().relative_to(Path.cwd()).as_posix() if inside else path.name


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
    """Train the editor or the recogniser from a config."""
    try:
        settings = read_config(config)
        if output_dir:
            settings = dataclasses.replace(settings, output_dir=output_dir)
        if dry_run:
            stages = [dataclasses.asdict(stage) for stage in settings.as_stages()]
            print(yaml.safe_dump(stages if settings.stages else stages[0], sort_keys=False))
            return
        if push_to_hub and os.environ.get("RANK", "0") == "0":
            ensure_repository(push_to_hub)  # before the training: a token that may not write is known at once
        command = f"accelerate launch train_accelerate.py --config {shown(config)}"
        published = train_stages(settings, resume=resume, max_steps=max_steps, command=command)
        state = PartialState()
        state.destroy_process_group()  # not after each stage: the next one goes on in the same processes
        if published and push_to_hub and state.is_main_process:
            print(push_folder(published, push_to_hub))
    except LeedHubError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
