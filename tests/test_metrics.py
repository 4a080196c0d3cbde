"""Scores of networks."""

import torch
from torch import nn

from cgankd.data import Images
from cgankd.metrics import BATCH, num_parameters, outputs_of


def test_outputs_are_those_of_eval_mode_for_every_image_in_order_and_the_mode_stays():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2), nn.Dropout(0.9)).train()
    num = 2 * BATCH + 3
    images = Images(torch.randint(256, (num, 3, 2, 2), dtype=torch.uint8), torch.arange(num))
    outputs = outputs_of(network, images)
    assert network.training
    assert not outputs.requires_grad
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(outputs, network(images.pixels.float() / 127.5 - 1))
    outputs_of(network, images)
    assert not network.training


def test_parameters_are_counted_without_buffers():
    assert num_parameters(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))) == 3 * 4 + 4 + 4 + 4
