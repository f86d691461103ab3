import torch

from drug_pipeline.model.layers import Encoder, EncoderBlock, keep_some


def test_a_last_block_for_cls_alone_gives_the_same_cls_as_the_full_block():
    torch.manual_seed(0)
    block = EncoderBlock(width=8, n_heads=2, dropout=0.1).eval()
    tokens_BTE = torch.randn(3, 5, 8)

    full_BTE = block(tokens_BTE)
    alone_B1E = block(tokens_BTE, n_queries=1)

    torch.testing.assert_close(alone_B1E[:, 0], full_BTE[:, 0])


def test_cls_reads_every_token():
    torch.manual_seed(0)
    encoder = Encoder(n_layers=2, width=8, n_heads=2, dropout=0.0).eval()
    tokens_BTE = torch.randn(1, 4, 8)
    before_BE = encoder(tokens_BTE)

    for token in range(4):
        changed_BTE = tokens_BTE.clone()
        changed_BTE[:, token] += torch.randn(8)  # a constant shift alone would vanish in LayerNorm
        assert not torch.allclose(encoder(changed_BTE), before_BE, atol=1e-4)


def test_whole_rows_are_dropped_in_training_and_none_in_use():
    torch.manual_seed(0)
    ones_BE = torch.ones(400, 3)

    kept_BE = keep_some(ones_BE, drop=0.3, is_training=True)

    assert set(kept_BE.sum(dim=1).tolist()) == {0.0, 3.0}
    assert 0.6 < kept_BE[:, 0].mean() < 0.8
    assert torch.equal(keep_some(ones_BE, drop=0.3, is_training=False), ones_BE)
