"""The command line: verbs to functions, and errors to one line. No logic lives here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonargparse
import yaml
from jsonargparse import ActionConfigFile, ArgumentParser

from mv2mae.errors import InputError

ALIASES = {"--data": "--data.manifest", "--from": "--init"}
"""Short forms of the options that everyone types."""


@dataclass(frozen=True)
class Verb:
    """One command: how to read its arguments, and what to call with them."""

    summary: str
    example: str
    options: Callable[[ArgumentParser], None]
    run: Callable[[Any], int | None]
    """Returns the exit status, None meaning 0."""


class RecipeFile(ActionConfigFile):
    """`--recipe` takes the name of a packaged recipe or the path of a YAML file."""

    def __call__(self, parser: Any, namespace: Any, value: Any, option_string: str | None = None) -> None:
        """Replace the name by its path."""
        from mv2mae.recipes import find_recipe

        super().__call__(parser, namespace, str(find_recipe(value)), option_string)


# --- index ----------------------------------------------------------------------------------------------------


def _index_options(parser: ArgumentParser) -> None:
    from mv2mae.data.protocols import PROTOCOLS

    parser.add_argument("name", type=str, help=f"data set: {', '.join(PROTOCOLS)}")
    parser.add_argument("root", type=str, help="folder that holds the videos")
    parser.add_argument("--out", type=str, required=True, help="manifest to write (.parquet or .csv)")
    parser.add_argument("--pattern", type=str, default="", help='of `folder`: "{group}/{view}.mp4", also {label} ...')
    parser.add_argument("--table", type=str, default="", help="of `folder`: a CSV of path, group, view, label ...")
    parser.add_argument("--drop", type=str, default="", help="text file: names of videos to leave out, one a line")
    parser.add_argument("--probe", type=bool, default=True, help="open each video for its rate, length and size")


def _index(args: Any) -> None:
    from mv2mae.data.indexing import index

    options = {option: getattr(args, option) for option in ("pattern", "table", "drop", "probe")}
    index(args.name, args.root, Path(args.out), **options)


# --- prepare --------------------------------------------------------------------------------------------------


def _prepare_options(parser: ArgumentParser) -> None:
    from mv2mae.data.store.config import StoreConfig

    parser.add_argument("manifest", type=str, help="manifest of the originals, or `sample`")
    parser.add_argument("out", type=str, help="folder to write: manifest.parquet and store/")
    parser.add_argument("--processes", type=int, default=1, help="that decode and encode; the bytes do not depend on it")
    parser.add_argument("--part", type=str, default="", help="3/16: the third of 16 parts, for as many machines")
    parser.add_argument("--merge", type=bool, default=False, help="true: join what the parts have made")
    parser.add_class_arguments(StoreConfig)


def _prepare(args: Any) -> None:
    from mv2mae.data.store.config import StoreConfig
    from mv2mae.data.store.prepare import prepare

    config = StoreConfig(**{name: getattr(args, name) for name in StoreConfig.__dataclass_fields__})
    report = prepare(
        args.manifest, args.out, config, processes=args.processes, part=args.part, merge=args.merge
    )  # fmt: skip
    print(report.summary())


# --- check ----------------------------------------------------------------------------------------------------


def _check_options(parser: ArgumentParser) -> None:
    parser.add_argument("manifest", type=str, help="manifest to check (.parquet or .csv), or `sample`")
    parser.add_argument("--out", type=str, default="", help="report to write; by default MANIFEST.check.json")
    parser.add_argument("--fix", type=str, default="", help="manifest to write without the broken videos")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors, for --fix too")
    parser.add_argument("--quick", action="store_true", help="open files, decode first and last frame only")
    parser.add_argument("--sync", type=bool, default=True, help="estimate time offsets between the views of a group")
    parser.add_argument("--tolerance", type=float, default=0.1, help="seconds that views may be apart")
    parser.add_argument("--max_offset", type=float, default=2.0, help="largest offset looked for, in seconds")
    parser.add_argument("--num_workers", type=int, default=None, help="processes; one a core by default")
    parser.add_argument("--time_limit", type=float, default=120.0, help="seconds for one file, and one a megabyte")
    parser.add_argument("--num_rows", type=int, default=20, help="findings to print")


def _check(args: Any) -> int:
    from mv2mae.data.check.check import check_command

    return check_command(**vars(args))


# --- synth ----------------------------------------------------------------------------------------------------


def _synth_options(parser: ArgumentParser) -> None:
    from mv2mae.data.synthetic.generate import SynthConfig

    parser.add_argument("out", type=str, help="folder to write")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the settings below")
    parser.add_argument("--processes", type=int, default=1, help="processes that render; the bytes do not depend on it")
    parser.add_argument("--preview", type=str, default="", help="write a contact sheet, FILE.png, and nothing else")
    parser.add_argument("--dry_run", type=bool, default=False, help="say how much it will be, and write nothing")
    parser.add_class_arguments(SynthConfig)


def _synth(args: Any) -> None:
    from mv2mae.data.synthetic.generate import SynthConfig, generate
    from mv2mae.data.synthetic.preview import estimate
    from mv2mae.visualize.preview import preview

    values = {name: value for name, value in vars(args).items() if name in SynthConfig.__dataclass_fields__}
    config = SynthConfig(**values)
    if args.preview:
        print(f"wrote {preview(Path(args.preview), config)}")
        return
    if args.dry_run:
        print(estimate(config))
        return
    count = len(config.groups())
    print(f"{count:,} performances x {len(config.views)} views = {count * len(config.views):,} videos", flush=True)
    frame = generate(Path(args.out), config, num_processes=args.processes)
    print(f"wrote {len(frame)} videos of {frame['group'].nunique()} performances to {args.out}")


# --- recipes --------------------------------------------------------------------------------------------------


def _recipes(args: Any) -> None:
    from mv2mae.recipes import list_recipes

    for name, first_line in list_recipes().items():
        print(f"  {name:24} {first_line}")


# --- training -------------------------------------------------------------------------------------------------


def _training_options(config: str) -> Callable[[ArgumentParser], None]:
    def options(parser: ArgumentParser) -> None:
        from mv2mae import config as configs

        parser.add_argument("--recipe", action=RecipeFile, help="packaged recipe or YAML file (`mv2mae recipes`)")
        parser.add_argument("--run", type=str, required=True, help="folder of the run; an unfinished one goes on")
        parser.add_class_arguments(getattr(configs, config))

    return options


def _config(args: Any, name: str) -> Any:
    from mv2mae import config as configs

    kind = getattr(configs, name)
    return kind(**{field: getattr(args, field) for field in kind.__dataclass_fields__})


def _pretrain(args: Any) -> None:
    from mv2mae.train.pretrain import pretrain

    pretrain(_config(args, "PretrainConfig"), Path(args.run))


def _finetune(args: Any) -> None:
    from mv2mae.train.finetune import finetune

    finetune(_config(args, "FinetuneConfig"), Path(args.run))


# --- evaluation -----------------------------------------------------------------------------------------------


def _evaluate_options(parser: ArgumentParser) -> None:
    from mv2mae.config import DataConfig, EvalConfig

    parser.add_argument("weights", type=str, help="fine-tuning run, or its model.safetensors")
    parser.add_argument("--out", type=str, default="", help="folder for the results; by default RUN/evaluation")
    parser.add_argument("--device", type=str, default="auto", help="auto, cpu or cuda")
    parser.add_class_arguments(DataConfig, "data")
    parser.add_class_arguments(EvalConfig, "test")


def _evaluate_defaults(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """A run is tested on the test part of what it was fine-tuned on, and as its recipe says, unless told otherwise."""
    chosen = {word.split("=")[0] for word in argv}
    for word in argv:
        for path in (Path(word) / "config.yaml", Path(word).parent / "config.yaml"):
            if not word.startswith("-") and Path(word).exists() and path.exists():
                values = yaml.safe_load(path.read_text(encoding="utf-8"))
                defaults = {f"{part}.{k}": v for part in ("data", "test") for k, v in values.get(part, {}).items()}
                if "--data.split" in chosen:
                    defaults.update({"data.train_query": "", "data.test_query": ""})
                elif "--data.test_query" in chosen:
                    defaults["data.split"] = ""
                parser.set_defaults(defaults)
                return


def _evaluate(args: Any) -> None:
    from mv2mae.evaluate.evaluate import best_device, evaluate, print_figures

    where = Path(args.weights)
    out = Path(args.out) if args.out else (where if where.is_dir() else where.parent) / "evaluation"
    figures = evaluate(where, args.data, args.test, out, device=best_device(args.device))
    print_figures(figures, f"{where} on {args.data.split or args.data.manifest}")
    print(f"  wrote {out / 'evaluation.json'} and {out / 'scores.parquet'}")


def _predict_options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="fine-tuning run, or its model.safetensors")
    parser.add_argument("videos", type=str, nargs="+", help="synchronised videos of one performance")
    parser.add_argument("--num_clips", type=int, default=5, help="clips spread evenly over the videos")


def _predict(args: Any) -> None:
    from mv2mae.evaluate.predict import load_classifier, print_prediction

    print_prediction(load_classifier(args.weights).predict(args.videos, num_clips=args.num_clips))


# --- looking --------------------------------------------------------------------------------------------------


def _visualize_options(parser: ArgumentParser) -> None:
    parser.add_argument("weights", type=str, help="pre-training run, weights file or name of packaged weights")
    parser.add_argument("videos", type=str, nargs="+", help="two or more synchronised videos; the first is the target")
    parser.add_argument("--out", type=str, default="pictures", help="folder for the pictures")
    parser.add_argument("--frame_stride", type=float, default=4, help="frames between those of a clip")
    parser.add_argument("--seed", type=int, default=0, help="of the masks")


def _visualize(args: Any) -> None:
    from mv2mae.visualize.visualize import visualize

    videos = [Path(video) for video in args.videos]
    for path in visualize(args.weights, videos, Path(args.out), frame_stride=args.frame_stride, seed=args.seed):
        print(f"  wrote {path}")


def _demo_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=str, default="runs/demo", help="folder for runs and report")
    parser.add_argument("--minutes", type=float, default=9, help="time to plan for on two cores; less = fewer steps")
    parser.add_argument("--fresh", type=bool, default=False, help="forget an earlier demo in this folder")


def _demo(args: Any) -> None:
    from mv2mae.demo import demo

    demo(Path(args.out), minutes=args.minutes, fresh=args.fresh)


VERBS = {
    "index": Verb(
        "find the videos of a data set and write a manifest",
        'mv2mae index folder takes --pattern "{group}/{view}.mp4" --out manifest.parquet',
        _index_options,
        _index,
    ),
    "check": Verb(
        "open every video of a manifest and say what is wrong",
        "mv2mae check manifest.parquet --fix checked.parquet",
        _check_options,
        _check,
    ),
    "prepare": Verb(
        "scale videos once, into a store from which clips are read fast",
        "mv2mae prepare manifest.parquet prepared --short_side 160 --processes 8",
        _prepare_options,
        _prepare,
    ),
    "synth": Verb(
        "make synthetic multi-view actions",
        "mv2mae synth data/synthetic --num_groups 200 --processes 2",
        _synth_options,
        _synth,
    ),
    "recipes": Verb("list the packaged recipes", "mv2mae recipes", lambda parser: None, _recipes),
    "pretrain": Verb(
        "learn from several views, without labels",
        "mv2mae pretrain --recipe sample-pretrain --data manifest.parquet --run runs/pretrain",
        _training_options("PretrainConfig"),
        _pretrain,
    ),
    "finetune": Verb(
        "train a classifier on top of a pre-trained encoder",
        "mv2mae finetune --recipe sample-finetune --from runs/pretrain --run runs/finetune",
        _training_options("FinetuneConfig"),
        _finetune,
    ),
    "evaluate": Verb(
        "test a classifier, single views and fused",
        "mv2mae evaluate runs/finetune --data.split synthetic/xsub-xview",
        _evaluate_options,
        _evaluate,
    ),
    "predict": Verb(
        "name the action in one performance, seen by one camera or several",
        "mv2mae predict runs/finetune cam1.mp4 cam2.mp4",
        _predict_options,
        _predict,
    ),
    "visualize": Verb(
        "pictures of motion weights, reconstructions and cross-attention",
        "mv2mae visualize runs/pretrain cam1.mp4 cam2.mp4 --out pictures",
        _visualize_options,
        _visualize,
    ),
    "demo": Verb("all of it on the packaged sample set, in minutes", "mv2mae demo", _demo_options, _demo),
}


def usage() -> str:
    """The list of verbs."""
    lines = ["usage: mv2mae VERB [options]    (mv2mae VERB --help tells more)", ""]
    return "\n".join(lines + [f"  {name:12} {verb.summary}" for name, verb in VERBS.items()])


def parse(name: str, argv: Sequence[str]) -> Any:
    """The arguments of a verb as configuration objects.

    Raises:
        InputError: for an unknown option or a value that does not fit.
    """
    verb = VERBS[name]
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=f"mv2mae {name}", description=f"{verb.summary[0].upper()}{verb.summary[1:]}. Example: {verb.example}",
        exit_on_error=False,
    )  # fmt: skip
    verb.options(parser)
    argv = [_spelled_out(word) for word in argv]
    if name == "evaluate":
        _evaluate_defaults(parser, argv)
    try:
        return parser.instantiate(parser.parse_args(argv))
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        raise InputError(_one_line(str(error))) from error


def _spelled_out(word: str) -> str:
    """`--data x` and `--data=x` as the options that the parser knows."""
    option, equals, value = word.partition("=")
    return ALIASES.get(option, option) + equals + value


def _one_line(message: str) -> str:
    """jsonargparse indents what belongs to a key over several lines."""
    return " ".join(part.strip(" -") for part in message.splitlines() if part.strip())


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, 1 for bad input, 130 when stopped by hand."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"mv2mae {version('mv2mae')}")
        return 0
    if words[0] not in VERBS:
        print(f"mv2mae: {words[0]} is not a verb\n{usage()}", file=sys.stderr)
        return 1
    try:
        return VERBS[words[0]].run(parse(words[0], words[1:])) or 0
    except (InputError, OSError) as error:
        # from a loader's worker torch brings the whole traceback as the message; its last line is ours
        message = str(error).strip().splitlines()[-1].removeprefix("mv2mae.errors.InputError: ")
        print(f"mv2mae {words[0]}: error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nmv2mae {words[0]}: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
