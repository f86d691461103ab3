"""Settings of the evaluation: resamples, and where metrics at K are cut."""

from dataclasses import dataclass

from drug_pipeline.domain.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the evaluation report is made.

    Parameters
    ----------
    n_resamples
        Draws of the cluster bootstrap; 1,000 put the 2.5 % point within about ±0.5 % of its place.
    seed
        Of the bootstrap and of the random ranker.
    de_genes
        k of "overlap" and "direction": the genes measured to change most.
    gallery_ks
        K of Precision, Recall, NDCG, mAP and Hit.
    is_exported
        Whether predictions are written as AnnData too (about 8 bytes per condition and gene for
        each predictor before compression).
    export_all
        Export every predictor, not just the shipped one, its parts and the means.
    """

    n_resamples: int = 1000
    seed: int = 0
    de_genes: tuple[int, ...] = (20, 50)
    gallery_ks: tuple[int, ...] = (1, 5, 10, 20)
    is_exported: bool = True
    export_all: bool = False

    def __post_init__(self) -> None:
        if self.n_resamples < 100:
            msg = f"n_resamples must be at least 100 for a 95 % interval, not {self.n_resamples}"
            raise ConfigurationError(msg)
        if self.seed < 0:
            msg = f"seed must not be negative, got {self.seed}"
            raise ConfigurationError(msg)
        for name in ("de_genes", "gallery_ks"):
            ks = getattr(self, name)
            if not ks or min(ks) < 1 or list(ks) != sorted(set(ks)):
                msg = f"{name} must be different whole numbers from 1, ascending, not {ks}"
                raise ConfigurationError(msg)

    @classmethod
    def preset(cls, name: str) -> "EvaluationConfig":
        """``tiny`` for tests, ``demo`` or ``full``."""
        presets = {
            "tiny": cls(n_resamples=200, de_genes=(20,), gallery_ks=(1, 5, 10)),
            "demo": cls(),
            "full": cls(n_resamples=2000, de_genes=(50, 100)),
        }
        if name not in presets:
            msg = f"no evaluation preset {name!r}; known: {', '.join(presets)}"
            raise ConfigurationError(msg)
        return presets[name]
