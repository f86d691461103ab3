"""The true model of the generated screen: expression of lines, and what each drug does to it.

A drug's effect in a line is not a sum of a drug part and a line part. Its programmes come from its
mechanism and from its chemical structure; which of them the line's state lets through, how strongly
and at which dose, depends on the line's hidden state, its driver mutations and the expression of the
drug's targets.

Shape letters: D = drugs, X = doses, L = cell lines, G = expressed genes, K = gene programmes,
Q = hidden dimensions of a line's state, H = structure features, J = outputs of a read-out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.synthetic.chemistry import structure_features_DH
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.design import DOSES_UM, Design
from drug_pipeline.synthetic.genes import GeneTable
from drug_pipeline.synthetic.measurement import expected_log1p_cp10k, log_softmax
from drug_pipeline.synthetic.mechanisms import MECHANISMS, STRESS_GENES
from drug_pipeline.synthetic.public.cell_lines import CellLine
from drug_pipeline.synthetic.public.compounds import Compound
from drug_pipeline.synthetic.streams import stream

Floats = NDArray[np.float64]

N_PROGRAMMES = 24
N_STATE = 4
N_STRUCTURE_FEATURES = 256
PROGRAMME_GENE_FRAC = 0.12
"""Share of the genes that one programme moves."""
MARKER_LOG_CHANGE = 1.2
"""Change of a mechanism's marker genes at full response, natural log."""
HILL_SLOPE = 1.3
MAX_LOG_CHANGE = 3.5
"""Changes saturate here, natural log."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The noiseless screen.

    Parameters
    ----------
    base_LG
        Untreated log expression rate of each line, natural log, free of a common constant.
    change_DXLG
        Change of the log rate under each drug and dose, float32; exactly 0 for a null condition.
    delta_DXLG
        Expected measured Δ, float32, natural log: the difference that infinitely many cells of
        treated and vehicle wells without plate and well artefacts would give.
    """

    base_LG: Floats
    change_DXLG: NDArray[np.float32]
    delta_DXLG: NDArray[np.float32]


def make_truth(design: Design, genes: GeneTable, config: SyntheticConfig) -> Truth:
    """The true model of a whole screen; memory: three times D·X·L·G·4 bytes."""
    state_LQ = _line_states_LQ(design.lines, config)
    base_LG = _base_LG(state_LQ, design.lines, genes, config)
    strength_DXL, response_DLK = _responses(design, genes, state_LQ, base_LG, config)
    change_DLG = _full_change_DLG(design, genes, response_DLK, config)
    change_DXLG = strength_DXL[..., None].astype(np.float32) * change_DLG[:, None].astype(
        np.float32
    )
    np.tanh(change_DXLG / MAX_LOG_CHANGE, out=change_DXLG)
    change_DXLG *= MAX_LOG_CHANGE
    _silence_the_weakest(change_DXLG, config.null_frac)
    return Truth(
        base_LG=base_LG,
        change_DXLG=change_DXLG,
        delta_DXLG=_delta_DXLG(base_LG, change_DXLG, config.median_umi),
    )


def _line_states_LQ(lines: Sequence[CellLine], config: SyntheticConfig) -> Floats:
    """Hidden state of each line, (L, Q), about unit variance: organ, driver mutations, and its own."""
    rows = []
    for line in lines:
        parts = [("organ", line.organ), ("line", line.name)]
        parts += [("driver", gene) for gene in sorted(line.driver_genes)]
        effects = [stream(config.seed, "state", *part).normal(0.0, 1.0, N_STATE) for part in parts]
        rows.append(np.sum(effects, axis=0) / np.sqrt(len(parts)))
    return np.stack(rows)


def _base_LG(
    state_LQ: Floats, lines: Sequence[CellLine], genes: GeneTable, config: SyntheticConfig
) -> Floats:
    """Untreated log rates, (L, G): long-tailed gene means, the line's state, and its own noise."""
    rng = stream(config.seed, "base expression")
    symbols = genes.expressed_symbols
    n_genes = len(symbols)
    is_named = np.array([not symbol.startswith("GENE") for symbol in symbols])
    mean_G = np.where(is_named, rng.normal(0.6, 0.8, n_genes), rng.normal(0.0, 1.4, n_genes))
    loading_QG = rng.normal(0.0, 0.35, (N_STATE, n_genes))
    own_LG = np.stack(
        [
            stream(config.seed, "own expression", line.name).normal(0.0, 0.25, n_genes)
            for line in lines
        ]
    )
    return np.asarray(mean_G + state_LQ @ loading_QG + own_LG)


def _structure_readout_DJ(
    features_DH: Floats, n_outputs: int, name: str, config: SyntheticConfig
) -> Floats:
    """Random smooth functions of structure, (D, J), each of variance about 1."""
    shape = (features_DH.shape[1], n_outputs)
    readout_HJ = stream(config.seed, "structure", name).normal(0.0, 1.0, shape)
    return np.asarray(features_DH @ readout_HJ / np.sqrt(features_DH.shape[1]))


def _drug_loadings_DK(
    compounds: Sequence[Compound], features_DH: Floats, config: SyntheticConfig
) -> Floats:
    """Programmes of each drug, (D, K): half mechanism (half of it the pathway's), half structure."""
    known = []
    for compound in compounds:
        pathway = MECHANISMS[compound.mechanism].pathway
        own_K = stream(config.seed, "mechanism", compound.mechanism).normal(0, 1, N_PROGRAMMES)
        shared_K = stream(config.seed, "pathway", pathway).normal(0, 1, N_PROGRAMMES)
        known.append((own_K + shared_K) / np.sqrt(2.0))
    structure_DK = _structure_readout_DJ(features_DH, N_PROGRAMMES, "programmes", config)
    return np.asarray((np.stack(known) + structure_DK) / np.sqrt(2.0))


def _log_ec50_D(
    compounds: Sequence[Compound], features_DH: Floats, config: SyntheticConfig
) -> Floats:
    """Log of the half-effective dose in µM of each drug, (D,): mechanism and structure."""
    mechanism_D = [
        stream(config.seed, "potency", compound.mechanism).normal(np.log(0.4), 0.8)
        for compound in compounds
    ]
    return mechanism_D + 0.5 * _structure_readout_DJ(features_DH, 1, "potency", config)[:, 0]


def _sensitivity_DL(
    design: Design, genes: GeneTable, state_LQ: Floats, base_LG: Floats, config: SyntheticConfig
) -> Floats:
    """How ready each line is to respond to each drug, (D, L), in units of a logit around 0."""
    column = {symbol: position for position, symbol in enumerate(genes.expressed_symbols)}
    z_LG = (base_LG - base_LG.mean(axis=0)) / base_LG.std(axis=0)
    rows = []
    for compound in design.compounds:
        mechanism = MECHANISMS[compound.mechanism]
        taste_Q = stream(config.seed, "taste", compound.mechanism).normal(0.0, 0.6, N_STATE)
        driven_L = [
            bool(mechanism.sensitising_drivers & line.driver_genes) for line in design.lines
        ]
        targets = [column[target] for target in compound.targets if target in column]
        target_L = z_LG[:, targets].mean(axis=1) if targets else np.zeros(len(design.lines))
        rows.append(state_LQ @ taste_Q + 1.4 * np.array(driven_L) - 0.7 + 0.5 * target_L)
    return np.stack(rows)


def _responses(
    design: Design, genes: GeneTable, state_LQ: Floats, base_LG: Floats, config: SyntheticConfig
) -> tuple[Floats, Floats]:
    """How strongly each drug acts at each dose in each line, and through which programmes.

    Returns
    -------
    Strength, (D, X, L), 0 to about 3 (amplitude times Hill curve); programmes, (D, L, K), of about
    unit variance: the drug's loadings as far as the line's state lets them through.
    """
    compounds = design.compounds
    power_D = np.array([MECHANISMS[compound.mechanism].strength for compound in compounds])
    sensitivity_DL = _sensitivity_DL(design, genes, state_LQ, base_LG, config)
    amplitude_DL = 2.0 * power_D[:, None] / (1.0 + np.exp(-sensitivity_DL))
    features_DH = structure_features_DH(
        compounds, n_features=N_STRUCTURE_FEATURES, seed=config.seed
    )
    log_ec50_D = _log_ec50_D(compounds, features_DH, config)
    log_ec50_DL = log_ec50_D[:, None] - 0.5 * sensitivity_DL
    log_dose_X = np.log(DOSES_UM)
    hill_DXL = 1.0 / (
        1.0 + np.exp(HILL_SLOPE * (log_ec50_DL[:, None, :] - log_dose_X[None, :, None]))
    )
    loading_DK = _drug_loadings_DK(compounds, features_DH, config)
    gate_rng = stream(config.seed, "programme gates")
    gate_LK = 1.0 + np.tanh(state_LQ @ gate_rng.normal(0.0, 1.0, (N_STATE, N_PROGRAMMES)))
    strength_DXL = config.effect_scale * amplitude_DL[:, None, :] * hill_DXL
    return strength_DXL, loading_DK[:, None, :] * gate_LK[None, :, :]


def _full_change_DLG(
    design: Design, genes: GeneTable, response_DLK: Floats, config: SyntheticConfig
) -> Floats:
    """Change of log rates at strength 1, (D, L, G): programmes, markers and the shared stress axis."""
    rng = stream(config.seed, "programmes")
    n_genes = len(genes.expressed_symbols)
    column = {symbol: position for position, symbol in enumerate(genes.expressed_symbols)}
    is_member_KG = rng.random((N_PROGRAMMES, n_genes)) < PROGRAMME_GENE_FRAC
    programme_KG = np.where(is_member_KG, rng.normal(0.0, 0.25, is_member_KG.shape), 0.0)
    stress_G = np.where(rng.random(n_genes) < 0.15, rng.normal(0.0, 0.35, n_genes), 0.0)
    stress_G[[column[symbol] for symbol in STRESS_GENES if symbol in column]] = 1.0
    change_DLG = response_DLK @ programme_KG
    for row, compound in enumerate(design.compounds):
        mechanism = MECHANISMS[compound.mechanism]
        change_DLG[row] += mechanism.stress * stress_G
        for markers, sign in ((mechanism.down, -1.0), (mechanism.up, 1.0)):
            columns = [column[symbol] for symbol in markers if symbol in column]
            change_DLG[row][:, columns] += sign * MARKER_LOG_CHANGE
    return np.asarray(change_DLG)


def _silence_the_weakest(change_DXLG: NDArray[np.float32], null_frac: float) -> None:
    """Set the weakest share of all conditions to exactly no effect, in place."""
    rms_DXL = np.sqrt(np.mean(np.square(change_DXLG), axis=-1))
    n_null = round(null_frac * rms_DXL.size)
    weakest = np.argsort(rms_DXL, axis=None, kind="stable")[:n_null]
    change_DXLG.reshape(-1, change_DXLG.shape[-1])[weakest] = 0.0


def _delta_DXLG(
    base_LG: Floats, change_DXLG: NDArray[np.float32], median_umi: float
) -> NDArray[np.float32]:
    """Expected measured Δ, drug by drug to bound memory."""
    expected = expected_log1p_cp10k(median_umi)
    control_LG = expected(log_softmax(base_LG))
    delta_DXLG = np.empty_like(change_DXLG)
    for drug, change_XLG in enumerate(change_DXLG):
        delta_DXLG[drug] = expected(log_softmax(base_LG + change_XLG)) - control_LG
    return delta_DXLG
