"""Which ablations are fitted, on what, and how far. No torch here: settings read this module."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

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


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """How the ablation report's models are fitted.

    Each variant is a whole fit, so that time goes with variants × splits × seeds. What keeps it
    short is said on the page.

    Parameters
    ----------
    variants
        Split → variants that are fitted on it.
    n_seeds
        Fits per variant, from different starts of the networks; figures are means over them.
    forward_epochs, inverse_epochs
        Epochs in place of the model's own; None keeps those.
    linear
        Linear models beside the means; all where empty.
    max_train, max_test
        Training and test conditions at most, drawn by seed; None takes all.
    gene_tokens
        Gene tokens of an extra network, fitted forward alone on the first split, whose gene
        embeddings are looked at; 0 looks at the model's own.
    blind_train
        Training conditions of the small models that are fitted twice, with the test's
        measurements and with noise in their place; one epoch, on the CPU.
    """

    variants: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"pair": ALL_VARIANTS, "drug": ALL_VARIANTS}
    )
    n_seeds: int = 2
    forward_epochs: int | None = None
    inverse_epochs: int | None = None
    linear: tuple[str, ...] = ()
    max_train: int | None = None
    max_test: int | None = 5_000
    gene_tokens: int = 0
    blind_train: int = 1_000

    def __post_init__(self) -> None:
        if not self.variants or self.n_seeds < 1:
            msg = "an ablation needs at least one split and one seed"
            raise ConfigurationError(msg)
        for split, variants in self.variants.items():
            unknown = sorted(set(variants) - set(ALL_VARIANTS))
            if unknown or names.REFERENCE not in variants or len(set(variants)) < len(variants):
                msg = (
                    f"variants of split {split!r} must be some of {', '.join(ALL_VARIANTS)}, each once, "
                    f"{names.REFERENCE} among them; got {', '.join(variants) or 'none'}"
                )
                raise ConfigurationError(msg)
        require_not_negative(self, "forward_epochs", "inverse_epochs", "gene_tokens")
        require_positive(self, "max_train", "max_test", "blind_train")

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
        presets = {
            "tiny": cls(
                variants={"pair": few},
                n_seeds=1,
                linear=("additive", "panel_ridge"),
                blind_train=100,
            ),
            "demo": cls(
                variants={"pair": short, "drug": (names.REFERENCE, names.SHUFFLED_DRUG)},
                n_seeds=1,
                forward_epochs=3,
                inverse_epochs=2,
                linear=("additive", "panel_ridge", "morgan_ridge"),
                max_train=600,
                max_test=300,
                blind_train=300,
            ),
            "full": cls(),
        }
        if name not in presets:
            msg = f"no ablation preset {name!r}; there are {', '.join(presets)}"
            raise ConfigurationError(msg)
        return presets[name]

    def training(self, model: TrainConfig) -> TrainConfig:
        """How every variant is trained where it does not say otherwise."""
        forward, inverse = model.forward, model.inverse
        if self.forward_epochs is not None:
            forward = replace(forward, loop=replace(forward.loop, n_epochs=self.forward_epochs))
        if self.inverse_epochs is not None:
            inverse = replace(inverse, loop=replace(inverse.loop, n_epochs=self.inverse_epochs))
        return replace(model, forward=forward, inverse=inverse, linear=self.linear or model.linear)
