"""Which models are fitted again, on what, and how far. No torch here: settings read this module."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.training.config import TrainConfig, require_not_negative, require_positive

NETWORK_VARIANTS: Final = (
    names.NO_CELL_TOKEN,
    names.NO_RANK_LOSS,
    names.FULL_RANK_LOSS,
    names.NO_ALIGN_LOSS,
    names.NO_WARMUP,
    names.NO_GENE_TOKENS,
    names.NO_SKIP,
    names.RANDOM_GENE_EMBEDDINGS,
)
"""Variants in which the network is built or trained otherwise; linear models are the same."""
ALL_VARIANTS: Final = (names.REFERENCE, names.PERMUTED, *names.INPUT_VARIANTS, *NETWORK_VARIANTS)
_SIZES: Final[Mapping[str, Mapping[str, Any]]] = {
    "tiny": {
        "n_seeds": 1,
        "forward_epochs": None,
        "inverse_epochs": None,
        "linear": ("additive", "panel_ridge"),
        "max_train": None,
        "max_test": None,
    },
    "demo": {
        "n_seeds": 1,
        "forward_epochs": 3,
        "inverse_epochs": 2,
        "linear": ("additive", "panel_ridge", "morgan_ridge"),
        "max_train": 600,
        "max_test": 300,
    },
    "full": {},
}
"""What presets say of every fit: where gates and ablations say the same, they share fits."""


@dataclass(frozen=True, kw_only=True)
class RefitSizes:
    """How far models are fitted again, and on how much.

    Parameters
    ----------
    n_seeds
        Fits per variant, from different starts of the networks; figures are means over them.
    forward_epochs, inverse_epochs
        Epochs in place of the model's own; None keeps those.
    linear
        Linear models beside the means; all where empty.
    max_train, max_test
        Training and test conditions at most, drawn by seed; None takes all.
    """

    n_seeds: int = 2
    forward_epochs: int | None = None
    inverse_epochs: int | None = None
    linear: tuple[str, ...] = ()
    max_train: int | None = None
    max_test: int | None = 5_000

    def __post_init__(self) -> None:
        require_not_negative(self, "forward_epochs", "inverse_epochs")
        require_positive(self, "n_seeds", "max_train", "max_test")

    def training(self, model: TrainConfig) -> TrainConfig:
        """How every variant is trained where it does not say otherwise."""
        forward, inverse = model.forward, model.inverse
        if self.forward_epochs is not None:
            forward = replace(forward, loop=replace(forward.loop, n_epochs=self.forward_epochs))
        if self.inverse_epochs is not None:
            inverse = replace(inverse, loop=replace(inverse.loop, n_epochs=self.inverse_epochs))
        return replace(model, forward=forward, inverse=inverse, linear=self.linear or model.linear)


@dataclass(frozen=True, kw_only=True)
class GateFitsConfig(RefitSizes):
    """How the models are fitted that gates need: in minutes, on the device at hand.

    A leak shows in a small fit as in a large one; no gate reads a ranking, so that ``full`` trains
    no inverse mode.

    Parameters
    ----------
    splits
        Further splits of which gates are asked, beside the one that decides who is champion.
    blind_train
        Training conditions of the small networks that are fitted twice, with the test's
        measurements and with noise in their place; one epoch, on the CPU.
    """

    splits: tuple[str, ...] = ()
    n_seeds: int = 1
    forward_epochs: int | None = 5
    inverse_epochs: int | None = 0
    max_train: int | None = 4_000
    max_test: int | None = 2_000
    blind_train: int = 1_000

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "blind_train")

    @classmethod
    def preset(cls, name: str) -> "GateFitsConfig":
        """``tiny``, ``demo`` (seconds) or ``full``."""
        blind_train = {"tiny": 100, "demo": 300}.get(name, 1_000)
        return cls(**_SIZES[name], blind_train=blind_train)


@dataclass(frozen=True, kw_only=True)
class AblationConfig(RefitSizes):
    """How the ablation report's models are fitted.

    Each variant is a whole fit, so that time goes with variants × splits × seeds. What keeps it
    short is said on the page.

    Parameters
    ----------
    variants
        Split → variants that are fitted on it.
    gene_tokens
        Gene tokens of an extra network, fitted forward alone on the first split, whose gene
        embeddings are looked at; 0 looks at the model's own.
    """

    variants: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"pair": ALL_VARIANTS, "drug": ALL_VARIANTS}
    )
    gene_tokens: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_not_negative(self, "gene_tokens")
        if not self.variants:
            msg = "an ablation needs at least one split"
            raise ConfigurationError(msg)
        for split, variants in self.variants.items():
            unknown = sorted(set(variants) - set(ALL_VARIANTS))
            if unknown or names.REFERENCE not in variants or len(set(variants)) < len(variants):
                msg = (
                    f"variants of split {split!r} must be some of {', '.join(ALL_VARIANTS)}, each once, "
                    f"{names.REFERENCE} among them; got {', '.join(variants) or 'none'}"
                )
                raise ConfigurationError(msg)

    @classmethod
    def preset(cls, name: str) -> "AblationConfig":
        """``tiny`` (seconds), ``demo`` (under a minute on 2 cores) or ``full``.

        Raises
        ------
        ConfigurationError
            If there is no such preset.
        """
        short = tuple(name for name in ALL_VARIANTS if name != names.FULL_RANK_LOSS)
        few = (
            names.REFERENCE,
            names.PERMUTED,
            names.SHUFFLED_DRUG,
            names.NO_CELL,
            names.NO_CELL_TOKEN,
            names.NO_WARMUP,
        )
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"variants": {"pair": few}},
            "demo": {"variants": {"pair": short, "drug": (names.REFERENCE, names.SHUFFLED_DRUG)}},
            "full": {},
        }
        if name not in presets:
            msg = f"no ablation preset {name!r}; there are {', '.join(presets)}"
            raise ConfigurationError(msg)
        return cls(**_SIZES[name], **presets[name])
