"""Train vpp-demo: `python -m examples.train_demo.train --work DIR`; see the README for several cores or GPUs."""

from __future__ import annotations

import math
import os
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import torch
import torch.distributed as dist
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from examples.train_demo.data import Clips, Frame, Targets
from examples.train_demo.log import TrainingLog
from examples.train_demo.model import TrainedDetector
from examples.train_demo.recipe import RECIPES, Recipe, Stage
from examples.train_demo.weights import save_weights
from vpp_deploy.machine import available_processors

SAVE_SECONDS = 180
LOG_STEPS = 20


def main(
    work: Annotated[Path, typer.Option(help="Folder for clips, checkpoints, logs and weights; resumed if it exists.")],
    recipe: Annotated[str, typer.Option(help="demo or smoke.")] = "demo",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cuda" if torch.cuda.is_available() else "cpu",
    clips: Annotated[Path | None, typer.Option(help="Folder of the rendered clips [default: WORK/clips].")] = None,
) -> None:
    """Train all stages of a recipe, going on where an earlier run stopped."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    else:
        torch.set_num_threads(max(1, available_processors() // world))
        torch.set_flush_denormal(True)
    work.mkdir(parents=True, exist_ok=True)
    plan = RECIPES[recipe]
    if rank == 0:
        Clips(clips or work / "clips", plan.clips, available_processors())
    if world > 1:
        dist.barrier()
    run = Training(plan, Clips(clips or work / "clips", plan.clips, 1), work, device, rank, world)
    run.resume()
    run.train()


class Training:
    """The state of a training, and how it goes on.

    Args:
        recipe: what to train.
        clips: training clips.
        work: folder for checkpoints, logs and weights.
        device: e.g. `cpu`, `cuda:0`.
        rank: number of this process.
        world: number of processes; each takes an equal part of every batch.
    """

    def __init__(self, recipe: Recipe, clips: Clips, work: Path, device: str, rank: int, world: int) -> None:
        self.recipe, self.clips, self.work, self.device = recipe, clips, work, device
        self.rank, self.world = rank, world
        self.stage_number, self.step = 0, 0
        self._saved = perf_counter()
        self.log = TrainingLog(work / "losses.csv")
        self._begin_stage()

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.recipe.stages[self.stage_number]

    def train(self) -> None:
        """Run the remaining stages; each leaves its weights in the work folder."""
        while True:
            self._train_stage()
            if self.rank == 0:
                save_weights(self.model.detector, self.work / f"{self.stage.name}.safetensors")
                self.log.plot(self.work / "losses.png")
            if self.stage_number + 1 == len(self.recipe.stages):
                self._save()
                break
            previous = self.model.state_dict()
            self.stage_number, self.step = self.stage_number + 1, 0
            self._begin_stage(previous)
            self._save()

    def resume(self) -> None:
        """Take up the newest checkpoint of the work folder, if there is one."""
        path = self.work / "checkpoint.pt"
        if not path.is_file():
            return
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.stage_number = saved["stage"]
        self._begin_stage(saved["model"])
        self.step = saved["step"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.log.cut(saved["rows"])

    def _begin_stage(self, weights: dict[str, Tensor] | None = None) -> None:
        torch.manual_seed(self.recipe.seed)
        self.model = TrainedDetector(self.stage.keep).to(self.device)
        if weights is not None:
            missing, unexpected = self.model.load_state_dict(weights, strict=False)
            if unexpected or any("selective_modules" not in name and "matching_module" not in name for name in missing):
                raise RuntimeError(f"stage {self.stage.name}: weights do not fit: {missing[:3]} {unexpected[:3]}")
        self.optimizer = torch.optim.AdamW(_groups(self.model, self.recipe), betas=self.recipe.betas)

    def _train_stage(self) -> None:
        stage = self.stage
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        with Progress(*columns, TimeRemainingColumn(), disable=self.rank > 0) as progress:
            task = progress.add_task(stage.name, total=stage.steps, completed=self.step, figures="")
            while self.step < stage.steps:
                begin = perf_counter()
                figures = self._train_step()
                self.step += 1
                if self.rank == 0 and (self.step % LOG_STEPS == 0 or self.step == stage.steps):
                    row = {"stage": stage.name, "step": self.step, **figures, "seconds": perf_counter() - begin}
                    self.log.add(row)
                    text = f"{self.step}/{stage.steps} loss {figures['loss']:.2f} iou {figures['iou']:.2f}"
                    progress.update(task, completed=self.step, figures=text)
                if perf_counter() - self._saved > SAVE_SECONDS:
                    self._save()

    def _train_step(self) -> dict[str, float]:
        stage = self.stage
        rng = np.random.default_rng([self.recipe.seed, self.stage_number, self.step, self.rank])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        shared = np.random.default_rng([self.recipe.seed, self.stage_number, self.step])
        dense = stage.keep == "dense" or shared.random() < stage.dense_share
        frames = self.clips.batch(rng, stage.batch // self.world, stage.frames, stage.size, self.model.classes)
        frames = [Frame(f.images.to(self.device), Targets(*(t.to(self.device) for t in f.targets))) for f in frames]
        rate = learning_rate(stage, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        self.model.train()
        loss, figures = self.model(frames, dense, generator)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        if not torch.isfinite(norm):
            raise RuntimeError(f"stage {stage.name}, step {self.step}: the gradient is not finite")
        self.optimizer.step()
        return {**figures, "gradient": float(norm), "rate": rate}

    def _average_gradients(self) -> None:
        for parameter in self.model.parameters():
            if parameter.grad is None:  # a module that this step left out: all processes must agree on the sum's length
                parameter.grad = torch.zeros_like(parameter)
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def _save(self) -> None:
        self._saved = perf_counter()
        if self.rank > 0:
            return
        content: dict[str, Any] = {
            "stage": self.stage_number,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.log.rows,
        }
        temporary = self.work / "checkpoint.tmp"
        torch.save(content, temporary)
        temporary.replace(self.work / "checkpoint.pt")
        self.log.plot(self.work / "losses.png")


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine from the first to the second rate of the stage."""
    first, last = stage.learning_rate
    part = min(1.0, step / max(1, stage.steps))
    rate = last + (first - last) * (1 + math.cos(math.pi * part)) / 2
    return rate * min(1.0, (step + 1) / max(1, stage.warmup))


def _groups(model: TrainedDetector, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameter groups: no decay for norms, biases and embeddings; a lower rate for deformable offsets."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        decay = 0.0 if parameter.ndim < 2 or "embed" in name.rsplit(".", 2)[-2] + name.rsplit(".", 1)[-1] else 1.0
        rate = 1.0
        if "sampling_offsets" in name:
            rate = recipe.offset_rate
        elif "selective_modules" in name or "matching_module" in name:
            rate = recipe.selection_rate
        groups.setdefault((decay * recipe.weight_decay, rate), []).append(parameter)
    return [{"params": params, "weight_decay": decay, "rate": rate} for (decay, rate), params in groups.items()]


if __name__ == "__main__":
    typer.run(main)
