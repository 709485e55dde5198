"""A network's logits of a batch, of single images or of series."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geopanoptic.models.networks.series import PanopticUNetSeries
from geopanoptic.training.learning.batch import Batch


def logits_of(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The outputs of ``PanopticUNet`` or ``PanopticUNetSeries`` for every sample.

    Dates without a flag, which change nothing, are not computed: batch norm would count them as well.
    """
    if not isinstance(network, PanopticUNetSeries):
        logits: dict[str, Tensor] = network(_channels_last(batch.input_btchw[:, 0]))
        return logits
    seen_bt = batch.input_btchw[:, :, network.n_bands :].amax(dim=(2, 3, 4)) > 0
    # A batch without any date still has to have gradients.
    seen_bt[:, 0] |= ~seen_bt.any()
    sample_n, date_n = seen_bt.nonzero(as_tuple=True)
    shares = network.read(_channels_last(batch.input_btchw[sample_n, date_n]), batch.day_bt[sample_n, date_n])
    totals = [share.new_zeros((len(batch), *share.shape[1:])) for share in shares]
    return network.decode(
        [total.index_add(0, sample_n, share) for total, share in zip(totals, shares, strict=True)]
    )


def _channels_last(input_bchw: Tensor) -> Tensor:
    return input_bchw.contiguous(memory_format=torch.channels_last)
