"""How the models are trained. No torch here: settings read this module.

What belongs here: every number that steers training, with its unit and the reason for its
default, and the presets. What does not: shapes of the networks (``model/config.py``).
"""

from dataclasses import dataclass, field, replace

from drug_pipeline.domain.blocks import KERNEL_BLOCKS, NETWORK_BLOCKS, BlockChoice
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.model.config import ModelConfig, PrototypeConfig

DEVICES = ("auto", "cpu", "cuda")


def require_positive(config: object, *names: str) -> None:
    """Refuse a configuration in which one of the whole numbers is below 1; None is not set."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            msg = f"{name} must be at least 1, got {value}"
            raise ConfigurationError(msg)


def require_not_negative(config: object, *names: str) -> None:
    """Refuse a configuration in which one of the whole numbers is below 0; None is not set."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 0:
            msg = f"{name} must not be negative, got {value}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """One run of the training loop: optimiser, schedule, averaging, early stopping.

    Parameters
    ----------
    n_epochs
        Passes over the training conditions at most.
    learning_rate
        Of AdamW at its highest; 1e-3 suits small networks, ``full`` halves it for larger ones.
    weight_decay
        Of AdamW, on matrices alone; the inverse mode sees each drug often and takes more.
    warmup_frac
        Share of the steps over which the learning rate rises from 0; afterwards cosine to 0.
    max_grad_norm
        Gradients are scaled down to this norm.
    ema_decay
        Decay per step of the averaged weights that are evaluated and kept.
    evaluate_every
        Epochs between two looks at the validation conditions.
    patience
        Epochs without a better validation score after which training stops.
    lines_per_batch, conditions_per_line
        A batch is so many cell lines times so many conditions of each: negatives of the ranking
        loss must come from the same line.
    """

    n_epochs: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_frac: float = 0.05
    max_grad_norm: float = 1.0
    ema_decay: float = 0.98
    evaluate_every: int = 2
    patience: int = 10
    lines_per_batch: int = 4
    conditions_per_line: int = 32

    def __post_init__(self) -> None:
        counts = ("evaluate_every", "patience", "lines_per_batch", "conditions_per_line")
        require_positive(self, *counts)
        require_not_negative(self, "n_epochs")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.max_grad_norm > 0):
            msg = "learning_rate and max_grad_norm must be positive, weight_decay not negative"
            raise ConfigurationError(msg)
        if not (0 <= self.warmup_frac < 1 and 0 <= self.ema_decay < 1):
            msg = "warmup_frac and ema_decay must be in [0, 1)"
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class ForwardConfig:
    """Training of the forward mode: ``L = λ_mse·MSE + λ_rank(t)·InfoNCE + λ_align·CLIP``.

    Parameters
    ----------
    lambda_mse
        Weight of the squared error, the unit of the other weights.
    lambda_rank
        Weight of the ranking loss. 1 helped where replicates agreed (r .9) and hurt where 20 cells
        per condition left mostly noise; 0.1 keeps it harmless there.
    lambda_align
        Weight of the term that aligns signatures with the drug tower.
    align_frac
        Share of a batch that also takes the inverse pass of the alignment term: it doubles the
        cost of a row, and was neutral for the forward predictions.
    rank_warmup_frac
        Share of the steps over which ``lambda_rank`` rises from 0. No consistent gain was
        measured, so it is short; the ablation report says what it is worth.
    tau
        Temperature of the ranking loss.
    n_folds, hidden_frac
        The base that the network corrects on seen drugs and lines is predicted out of fold, in a
        way that mimics the test: in each of so many folds this share of the drugs of some lines
        is hidden. In-sample residuals carry no signal.
    """

    loop: LoopConfig = field(default_factory=LoopConfig)
    lambda_mse: float = 1.0
    lambda_rank: float = 0.1
    lambda_align: float = 0.1
    align_frac: float = 0.25
    rank_warmup_frac: float = 0.1
    tau: float = 0.1
    n_folds: int = 4
    hidden_frac: float = 0.7

    def __post_init__(self) -> None:
        if min(self.lambda_mse, self.lambda_rank, self.lambda_align) < 0:
            msg = "loss weights must not be negative"
            raise ConfigurationError(msg)
        for name in ("rank_warmup_frac", "align_frac"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name} must be in [0, 1], got {getattr(self, name)}"
                raise ConfigurationError(msg)
        if not self.tau > 0:
            msg = f"tau must be positive, got {self.tau}"
            raise ConfigurationError(msg)
        if self.n_folds < 2 or not 0 < self.hidden_frac < 1:
            msg = "n_folds must be at least 2 and hidden_frac in (0, 1)"
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class InverseConfig:
    """Training of the inverse mode: a softmax over all training drugs.

    Parameters
    ----------
    scale_range
        Each training signature is scaled by a factor drawn from this range.
    noise_sd
        Gaussian noise added to it, in units of its own standard error.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(n_epochs=16, weight_decay=0.05))
    scale_range: tuple[float, float] = (0.7, 1.2)
    noise_sd: float = 0.5

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if not 0 < low <= high or self.noise_sd < 0:
            msg = f"scale_range must be positive and rising, noise_sd not negative: {self}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class PrototypeTrainConfig:
    """Training of the prototype: drug-target matching plus CLIP to the drug tower.

    Parameters
    ----------
    lambda_clip, lambda_bce
        Weights of the CLIP loss to the drug tower and of the binary cross-entropy, beside 1 for
        drug-target matching.
    tau
        Temperature of the matching loss.
    min_drugs_per_target
        Targets of fewer training drugs are left out: nothing can be learned of them.
    n_negatives
        Hardest negatives per signature in the binary cross-entropy.
    """

    model: PrototypeConfig = field(default_factory=PrototypeConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(n_epochs=12, weight_decay=0.05))
    lambda_clip: float = 0.5
    lambda_bce: float = 0.5
    tau: float = 0.1
    n_negatives: int = 8
    min_drugs_per_target: int = 1

    def __post_init__(self) -> None:
        if min(self.lambda_clip, self.lambda_bce) < 0 or not self.tau > 0:
            msg = (
                f"lambda_clip {self.lambda_clip} and lambda_bce {self.lambda_bce} must not be "
                f"negative, tau {self.tau} must be positive"
            )
            raise ConfigurationError(msg)
        require_positive(self, "n_negatives", "min_drugs_per_target")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that steers ``model_full`` and ``model_prototype``.

    Parameters
    ----------
    splits
        Splits to fit, by name; each gets its own models.
    prototype_split
        Split that the prototype is fitted on.
    linear
        Linear models that are fitted beside the means; all that suit the split where empty.
    seed
        Of starts, batches and folds.
    n_members
        Networks per split, from different seeds; their mean predicts, their spread is part of the
        uncertainty.
    kernel_blocks, network_blocks
        Embedding blocks of drugs and of cell lines that the linear models and the networks read.
        A block beside the embedded ones joins a kernel only where it is better on inner folds.
    n_chemistry, n_cell, n_profile
        Principal components of each block of drugs, of each block of cell lines, and of response
        profiles; fewer where there are fewer drugs or lines.
    device
        ``auto`` takes a GPU if there is one; ``cpu`` or ``cuda`` insist.
    n_threads
        CPU threads of torch: sums in another order give other last digits, so the number is fixed.
    n_workers
        Splits fitted side by side, a process each; as many as there are GPUs where these are more,
        and one in a ``torchrun`` job.
    is_compiled, is_bf16
        ``torch.compile`` and bf16 autocast, on a GPU only.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    forward: ForwardConfig = field(default_factory=ForwardConfig)
    inverse: InverseConfig = field(default_factory=InverseConfig)
    prototype: PrototypeTrainConfig = field(default_factory=PrototypeTrainConfig)
    splits: tuple[str, ...] = ("pair", "drug", "cell_line", "plate_replicate")
    prototype_split: str = "pair"
    linear: tuple[str, ...] = ()
    seed: int = 0
    n_members: int = 1
    kernel_blocks: BlockChoice = KERNEL_BLOCKS
    network_blocks: BlockChoice = NETWORK_BLOCKS
    n_chemistry: int = 60
    n_cell: int = 10
    n_profile: int = 32
    device: str = "auto"
    n_threads: int = 1
    n_workers: int = 2
    is_compiled: bool = False
    is_bf16: bool = False

    def __post_init__(self) -> None:
        if not self.splits or len(set(self.splits)) != len(self.splits):
            msg = f"splits must be named, each once, got {self.splits}"
            raise ConfigurationError(msg)
        sizes = ("n_chemistry", "n_cell", "n_profile")
        require_positive(self, "n_members", *sizes, "n_threads", "n_workers")
        require_not_negative(self, "seed")
        if self.device not in DEVICES:
            msg = f"device must be one of {DEVICES}, got {self.device!r}"
            raise ConfigurationError(msg)

    @classmethod
    def preset(cls, name: str) -> "TrainConfig":
        """The named preset: ``tiny`` (seconds), ``demo`` (75 to 90 s on 2 cores), ``full``.

        Raises
        ------
        ConfigurationError
            If there is no such preset.
        """
        presets = {"tiny": _tiny, "demo": _demo, "full": _full}
        if name not in presets:
            msg = f"no training preset {name!r}; there are {', '.join(presets)}"
            raise ConfigurationError(msg)
        return presets[name]()


def _tiny() -> TrainConfig:
    loop = LoopConfig(n_epochs=2, evaluate_every=1, ema_decay=0.5, conditions_per_line=16)
    return TrainConfig(
        model=ModelConfig(width=16, n_heads=2, n_gene_tokens=4, signature_width=32, tower_width=16),
        forward=ForwardConfig(loop=loop, n_folds=2),
        inverse=InverseConfig(loop=loop),
        prototype=PrototypeTrainConfig(
            model=PrototypeConfig(width=16, n_heads=2, n_gene_tokens=32, tower_width=16), loop=loop
        ),
        splits=("pair", "drug", "plate_replicate"),
        n_chemistry=16,
        n_cell=4,
        n_profile=8,
        n_workers=1,
    )


def _demo() -> TrainConfig:
    loop = LoopConfig(n_epochs=6)
    return TrainConfig(
        model=ModelConfig(n_gene_tokens=8, dropout=0.0),  # in so few epochs nothing is memorised
        forward=ForwardConfig(loop=loop, n_folds=3),
        inverse=InverseConfig(loop=replace(loop, n_epochs=4, weight_decay=0.05)),
        prototype=PrototypeTrainConfig(
            model=PrototypeConfig(width=32, n_gene_tokens=64, tower_width=32),
            loop=LoopConfig(n_epochs=6, weight_decay=0.05),
        ),
    )


def _full() -> TrainConfig:
    loop = LoopConfig(
        n_epochs=60, learning_rate=5e-4, lines_per_batch=8, conditions_per_line=64, patience=14
    )
    return TrainConfig(
        model=ModelConfig(width=256, n_layers=4, n_heads=8, n_gene_tokens=512),
        forward=ForwardConfig(loop=loop),
        inverse=InverseConfig(loop=replace(loop, weight_decay=0.05)),
        prototype=PrototypeTrainConfig(model=PrototypeConfig(n_gene_tokens=256)),
        splits=("pair", "drug", "cell_line", "plate_replicate", "scaffold", "both"),
        n_members=3,
        n_threads=4,
        n_workers=1,
        is_compiled=True,
        is_bf16=True,
    )
