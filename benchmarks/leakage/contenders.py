"""Who takes part: each contender trains on the same pictures, noise, timesteps, steps and seeds, with another loss,
more or other pictures, or fewer tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from maskloss.core.mask_weights import PRESETS, MaskLossSettings, Normalization
from maskloss.core.masks.crop_dataset import CropRules
from maskloss.core.train.token_routing import Drawing, RoutingSettings

from .base import CLOSE_UP
from .dataset import WHOLE_ALONE, Grid, MaskKind
from .formulas import AiToolkit, Formula, GatedPrior, OneTrainer, plain_mean

REFERENCE = "no mask"
MASKED = "tiers"

_PLAIN = MaskLossSettings()
_PRIOR_05, _PRIOR_1 = MaskLossSettings(prior_weight=0.5), MaskLossSettings(prior_weight=1.0)

_CAPTIONED = CropRules(face=1, caption_face=f"[caption] {CLOSE_UP}")


@dataclass(frozen=True)
class Contender:
    """`settings` None: plain training. With `formula` its loss takes the place of the pack's; `settings` then only say
    how masks are drawn (probability). With `cost_of` it trains as many steps more as steps that are routed like this
    cost less. `against` is the contender that it differs from in one thing."""

    name: str
    group: str
    settings: MaskLossSettings | None = _PLAIN
    mask: MaskKind = MaskKind.TIERS
    grid: Grid = Grid.AREA
    formula: Formula | None = None
    background_named: bool = False
    crops: CropRules = WHOLE_ALONE
    routing: RoutingSettings | None = None
    cost_of: RoutingSettings | None = None
    against: str = MASKED

    @property
    def identity(self) -> str:
        """Differs whenever another training would come of it; of the group nothing does."""
        formula = self.name if self.formula else "ours"
        shown = (self.mask.value, self.grid.value, self.background_named, self.crops)
        return repr((self.settings, formula, *shown, self.routing, self.cost_of))


def _routed(fraction: float, drawing: Drawing, margin: int = 0) -> RoutingSettings:
    """Without the pack's margin of two cells: with it two thirds of this small picture would be kept in any case."""
    return RoutingSettings(fraction, margin, drawing=drawing, patch_side=2)


CONTENDERS: tuple[Contender, ...] = (
    Contender(REFERENCE, "masks", None),
    Contender("binary", "masks", mask=MaskKind.BINARY),
    Contender(MASKED, "masks"),
    Contender("tiers, floor 0.05", "masks", MaskLossSettings(min_weight=0.05)),
    Contender("tiers, floor 0.1", "masks", MaskLossSettings(min_weight=0.1)),
    Contender("preset person", "masks", PRESETS["person"]),
    Contender("preset face", "masks", PRESETS["face"]),
    Contender("preset style", "masks", PRESETS["style"]),
    Contender("tiers, batch", "division and grid", MaskLossSettings(normalization=Normalization.BATCH)),
    Contender("tiers, none", "division and grid", MaskLossSettings(normalization=Normalization.NONE)),
    Contender("tiers, nearest", "division and grid", grid=Grid.NEAREST),
    Contender("tiers, prior 0.5", "prior preservation", _PRIOR_05),
    Contender("tiers, prior 1", "prior preservation", _PRIOR_1),
    Contender("tiers, prior 1, noisy half", "prior preservation", MaskLossSettings(prior_weight=1.0, prior_min_t=0.5)),
    Contender("tiers, prior 1, clean half", "prior preservation", formula=Formula(GatedPrior(1.0, False), True)),
    Contender("preset person_prior", "prior preservation", PRESETS["person_prior"]),
    Contender("preset person_prior_gated", "prior preservation", PRESETS["person_prior_gated"]),
    Contender("no mask, background named", "captions", None, background_named=True, against=REFERENCE),
    Contender("tiers, background named", "captions", background_named=True),
    Contender("no mask, whole and face", "crops", None, crops=CropRules(face=1), against=REFERENCE),
    Contender("tiers, whole and face", "crops", crops=CropRules(face=1)),
    Contender("tiers, whole and bust", "crops", crops=CropRules(bust=1)),
    Contender("tiers, whole, bust, face", "crops", crops=CropRules(bust=1, face=1)),
    Contender("tiers, face alone", "crops", crops=CropRules(whole=0, face=1)),
    Contender("tiers, whole and face, captioned", "crops", crops=_CAPTIONED),
    Contender("tiers, three whole to a face, captioned", "crops", crops=replace(_CAPTIONED, whole=3)),
    *(
        Contender(f"routed {fraction}, {drawing.value}", "token routing", routing=_routed(fraction, drawing))
        for fraction, drawing in product((0.5, 0.25, 0.1), Drawing)
    ),
    *(
        Contender(
            f"routed {fraction}, {drawing.value}, equal cost",
            "token routing",
            routing=_routed(fraction, drawing),
            cost_of=_routed(fraction, drawing),
        )
        for fraction, drawing in product((0.25, 0.1), Drawing)
    ),
    Contender(
        "tiers, the steps of routed 0.1",
        "token routing",
        cost_of=_routed(0.1, Drawing.SCATTERED),
        against="routed 0.1, scattered, equal cost",
    ),
    *(
        Contender(f"routed 0.1, {drawing.value}, margin", "token routing", routing=_routed(0.1, drawing, 2))
        for drawing in Drawing
    ),
    *(
        Contender(
            f"floor 0.05, routed 0.25, {drawing.value}",
            "token routing",
            MaskLossSettings(min_weight=0.05),
            routing=_routed(0.25, drawing),
            against="tiers, floor 0.05",
        )
        for drawing in Drawing
    ),
    Contender("shifted by 1 cell", "wrong masks", mask=MaskKind.SHIFTED),
    Contender("dilated by 1 cell", "wrong masks", mask=MaskKind.DILATED),
    Contender("bounding box", "wrong masks", mask=MaskKind.BOX),
    Contender("hair missing", "wrong masks", mask=MaskKind.NO_HAIR),
    Contender("bystander kept", "wrong masks", mask=MaskKind.BYSTANDER),
    Contender("sd-scripts, SimpleTuner", "other trainers' formulas", formula=Formula(plain_mean)),
    Contender("diffusion-pipe", "other trainers' formulas", grid=Grid.NEAREST_EXACT, formula=Formula(plain_mean)),
    Contender("ai-toolkit", "other trainers' formulas", grid=Grid.NEAREST, formula=Formula(AiToolkit(0.0))),
    Contender(
        "ai-toolkit, inverted prior 0.5",
        "other trainers' formulas",
        grid=Grid.NEAREST,
        formula=Formula(AiToolkit(0.5), prior=True),
    ),
    Contender(
        "OneTrainer's defaults",
        "other trainers' formulas",
        MaskLossSettings(probability=0.9),
        formula=Formula(OneTrainer(0.1, False, 0.0)),
    ),
    Contender(
        "OneTrainer, by area, prior 1",
        "other trainers' formulas",
        formula=Formula(OneTrainer(0.1, True, 1.0), prior=True),
    ),
)
QUICK = (
    REFERENCE,
    "binary",
    "tiers",
    "preset person",
    "tiers, prior 1",
    "tiers, whole and face, captioned",
    "routed 0.25, scattered",
    "sd-scripts, SimpleTuner",
)
