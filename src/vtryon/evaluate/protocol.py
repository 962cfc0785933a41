"""``vtryon evaluate``: results of one or several methods scored under one protocol, which is told with the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

from vtryon import __version__
from vtryon.data import Footage
from vtryon.device import choose
from vtryon.errors import UsageError
from vtryon.evaluate.dress import Model
from vtryon.evaluate.footage import Item, View, check_alike, collection, in_common, matched, of_samples
from vtryon.evaluate.measures import MEASURES, Wanted
from vtryon.evaluate.networks import Distributions, Lpips, inception
from vtryon.evaluate.pretrained import BACKBONES, INCEPTION
from vtryon.evaluate.score import ClipScore, Moment, Scorers, score, watch
from vtryon.evaluate.temporal import mean_of
from vtryon.person import Labeller
from vtryon.person.regions import label_regions
from vtryon.pipeline import default_labeller
from vtryon.progress import Progress, Report, silent
from vtryon.types import Frame

FEW = 2048
"""Pictures below which FID is known to be too high, its covariance having more numbers than they can tell, and the ten
parts of IS have too few to show their classes."""

_BY_CLIP = ("ssim", "lpips", "vmaf", "warp_ratio", "hem_jitter", "leftover", "damage")
_NEED_ANALYSIS = frozenset({"warp_ratio", "hem_jitter", "leftover", "damage"})


@dataclass(frozen=True)
class EvaluateOptions:
    """What is scored against what.

    ``results`` folders of results, one a method, named by the folder; none: the model is run over ``data``, a data set
    (:func:`vtryon.data.open_tree`), on the samples of ``split``, ``paired`` or not, unpaired ones as ``pairs`` lists
    them; of unpaired ones ``truth`` may tell how they should look, by the samples' names. Without ``data``: ``truth``
    (paired protocol), ``sources``, and ``real``, pictures that FID compares with
    (default: the truth, else the sources). ``size`` (height, width) brings everything to one size, ``frames`` counts
    the first so many of each clip, ``whole_frame`` counts all pixels in place of worn tops. ``weights`` is the folder
    of networks of others, None for torch's cache; ``lpips`` alex, vgg or squeeze. ``partial`` takes what matches.
    ``warp_weights`` of ``vtryon train warp --preset paper`` and ``renderer`` of ``vtryon train tryon`` take the place
    of the model's own parts.
    """

    results: tuple[Path, ...] = ()
    data: Path | None = None
    split: str = "test"
    paired: bool = True
    pairs: Path | None = None
    truth: Path | None = None
    sources: Path | None = None
    real: Path | None = None
    measures: frozenset[str] = frozenset(MEASURES)
    size: tuple[int, int] | None = None
    frames: int | None = None
    whole_frame: bool = False
    weights: Path | None = None
    lpips: str = "alex"
    warp: str = "auto"
    warp_weights: Path | None = None
    renderer: Path | None = None
    device: str = "auto"
    partial: bool = False

    def __post_init__(self) -> None:
        if unknown := sorted(self.measures - MEASURES.keys()):
            raise UsageError(f"no measure {unknown[0]}; there are {', '.join(MEASURES)}")
        if self.data is None and not self.results:
            raise UsageError("nothing to score: give a folder of results, or --data and the model is run over it")
        if self.data is None and (self.pairs or not self.paired):
            raise UsageError("--unpaired and --pairs are for --data; without it, results without --truth are unpaired")
        if self.results and (self.warp_weights or self.renderer):
            raise UsageError("--warp-weights and --renderer are for the model run over --data; leave out RESULTS")
        if self.data is not None and (self.sources or (self.truth and self.paired)):
            raise UsageError(
                "--data tells truth and sources itself; leave out --truth and --sources (--unpaired may have --truth)"
            )
        names = [path.name for path in self.results]
        if len(set(names)) < len(names):
            raise UsageError("two folders of results have one name, by which methods are told apart; rename one")


@dataclass(frozen=True)
class MethodScore:
    """One method's figures: ``values`` by measure, None where it has none, and each clip's own."""

    name: str
    values: Mapping[str, float | None]
    clips: tuple[ClipScore, ...]
    undressed: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return sum(clip.count for clip in self.clips)


@dataclass(frozen=True)
class Evaluation:
    """All methods under one ``protocol`` (name and text of each of its terms); ``missing`` says why a measure that was
    asked for was not computed."""

    protocol: Mapping[str, str]
    methods: tuple[MethodScore, ...]
    missing: Mapping[str, str]
    measures: tuple[str, ...] = field(default=tuple(MEASURES))


def evaluate(options: EvaluateOptions, progress: Report = silent) -> Evaluation:
    """Score all that ``options`` name.

    Raises:
        UsageError, MissingInputError, BadInputError: what is asked for does not go together, is not there, does not
            match (:mod:`vtryon.evaluate.footage`).
    """
    methods = _methods(options)
    view = View(options.size, options.frames)
    every = list(chain.from_iterable(methods.values()))
    sizes = sorted({check_alike(item, view) for item in every})
    real, real_name = _real(options, every)
    least = min(side for size in sizes for side in size)
    wanted = Wanted(options.measures, every, least, bool(real), options.lpips, options.weights, options.whole_frame)
    missing = wanted.missing()
    measures = tuple(name for name in MEASURES if name in options.measures)
    active = frozenset(measures) - missing.keys()
    analysed = bool(active & _NEED_ANALYSIS) and not options.whole_frame
    labeller = default_labeller(options.device) or label_regions if analysed or not options.results else None
    scorers = _scorers(active, options, labeller if analysed else None)
    if "fid" in active and scorers.distributions is not None:
        _look_at_real(scorers.distributions, real, view, progress)
    model = None
    if labeller is not None and not options.results:
        model = Model.of(labeller, options.warp, options.device, options.warp_weights, options.renderer)
    scored = []
    for name, items in methods.items():
        scored.append(_score_method(name, items, view, scorers, model, active, progress))
        if scorers.distributions is not None:
            scorers.distributions.new_results()
    terms = _protocol(options, active, scored, sizes, real_name, scorers)
    return Evaluation(terms, tuple(scored), missing, measures)


def _methods(options: EvaluateOptions) -> dict[str, tuple[Item, ...]]:
    if options.data is None:
        single = len(options.results) > 1 and not any(path.is_dir() for path in options.results)
        found = {
            path.name: matched(path, options.truth, options.sources, partial=options.partial)
            for path in options.results
        }
        return found if single else in_common(found, partial=options.partial)
    from vtryon.data import open_tree

    tree = open_tree(options.data, pairs=options.pairs)
    samples = tree.select(options.split, paired=options.paired)
    truth = None if options.truth is None else collection(options.truth)
    if not options.results:
        return {"vtryon": of_samples(samples, None, truth, partial=options.partial)}
    found = {path.name: of_samples(samples, path, truth, partial=options.partial) for path in options.results}
    return in_common(found, partial=options.partial)


def _real(options: EvaluateOptions, items: Sequence[Item]) -> tuple[tuple[Footage, ...], str]:
    """What FID compares with, each footage once, and what it is called."""
    if options.real is not None:
        return tuple(collection(options.real).values()), f"{options.real.name} (--real)"
    for name in ("truth", "source"):
        found = [getattr(item, name) for item in items]
        if all(found):
            return tuple(dict.fromkeys(found)), f"the {name}"
    return (), ""


def _scorers(active: frozenset[str], options: EvaluateOptions, labeller: Labeller | None) -> Scorers:
    device = choose(options.device).device
    lpips = distributions = None
    if "lpips" in active:
        backbone = BACKBONES[options.lpips].find(options.weights)
        assert isinstance(backbone, Path)  # else the measure is not active
        lpips = Lpips(backbone, options.lpips, device)
    if active & {"fid", "is"}:
        weights = INCEPTION.find(options.weights)
        assert isinstance(weights, Path)
        distributions = Distributions(inception(weights, device), device)
    return Scorers(
        likeness="ssim" in active,
        lpips=lpips,
        vmaf=device if "vmaf" in active else None,
        distributions=distributions,
        steadiness=bool(active & {"warp_ratio", "hem_jitter"}),
        kept=bool(active & {"leftover", "damage"}),
        labeller=labeller,
    )


def _look_at_real(distributions: Distributions, real: Sequence[Footage], view: View, progress: Report) -> None:
    for count, footage in enumerate(real):
        progress(Progress("looking at real pictures", count, len(real), "clip"))
        for frame in view.read(footage):
            distributions.add(frame.rgb, real=True)


def _score_method(
    name: str,
    items: Sequence[Item],
    view: View,
    scorers: Scorers,
    model: Model | None,
    active: frozenset[str],
    progress: Report,
) -> MethodScore:
    clips, undressed = [], []
    counts = [view.count(item.footage) for item in items]
    total = None if None in counts else sum(n for n in counts if n is not None)
    done = 0

    def told(moments: Iterator[Moment]) -> Iterator[Moment]:
        nonlocal done
        for moment in moments:
            yield moment
            done += 1
            progress(Progress(f"scoring {name}", done, total))

    for item in items:
        results: Iterator[Frame]
        if model is None:
            results = view.read(item.footage)
        else:
            results, why = model.results(item, view)
            undressed += [f"{item.name}: {why}"] if why else []
        clips.append(score(item, told(watch(item, results, view, scorers.labeller)), scorers))
    values = {one: mean_of(clip.values[one] for clip in clips) for one in _BY_CLIP}
    if scorers.distributions is not None:
        values |= {"fid": scorers.distributions.fid() if "fid" in active else None}
        values |= {"is": scorers.distributions.inception_score() if "is" in active else None}
    return MethodScore(
        name, {one: values.get(one) if one in active else None for one in MEASURES}, tuple(clips), tuple(undressed)
    )


def _protocol(
    options: EvaluateOptions,
    active: frozenset[str],
    scored: Sequence[MethodScore],
    sizes: Sequence[tuple[int, int]],
    real: str,
    scorers: Scorers,
) -> dict[str, str]:
    """Every term that published figures differ by."""
    if options.data and not options.paired and options.truth:
        protocol = "unpaired samples, against the truth of the same frame (--truth)"
    elif options.truth or (options.data and options.paired):
        protocol = "paired: results against the truth of the same frame"
    else:
        protocol = "unpaired: no truth"
    shown = ", ".join(f"{w} x {h}" for h, w in sizes)
    region = "all pixels" if scorers.labeller is None else "over the tops worn in source or result"
    counted = scorers.distributions.counts if scorers.distributions is not None else {}
    terms = {
        "protocol": protocol,
        "clips": ", ".join(f"{m.name} {len(m.clips)}" for m in scored),
        "frames": ", ".join(f"{m.name} {m.frames}" for m in scored)
        + (f"; the first {options.frames} of each clip" if options.frames else "; all of each clip"),
        "resolution": f"{shown} (width x height), "
        + ("brought to it (area mean smaller, bilinear larger)" if options.size else "as the files have it"),
        "colours": "RGB, 8 bit, range 0 to 255, decoded by each file's own matrix and range",
        "means": "over the frames of a clip, then over clips; FID and IS over all frames at once",
    }
    if options.data:
        terms["data"] = f"{options.data.name}, split {options.split}"
    if not options.results:
        warp = options.warp_weights or f"--warp {options.warp}"
        terms["model"] = f"run here; laid by {warp}, drawn by {options.renderer or 'the geometric composition'}"
    for name in (n for n in MEASURES if n in active):
        how = MEASURES[name].how.format(lpips=options.lpips, real=real, region=region)
        if name == "fid":
            how += f", {counted[True]} pictures" + _few(min(counted[True], *(m.frames for m in scored)), "high")
        if name == "is":
            how += _few(min(m.frames for m in scored), "low")
        terms[MEASURES[name].title] = how
    return terms | {"computed with": _versions()}


def _few(pictures: int, way: str) -> str:
    return f" (under {FEW}: too {way}, and not to be compared with other counts)" if pictures < FEW else ""


def _versions() -> str:
    found = [f"vtryon {__version__}"]
    for package in ("torch", "torchmetrics", "torch-fidelity", "vmaf-torch"):
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)
