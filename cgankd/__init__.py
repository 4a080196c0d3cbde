"""Knowledge distillation through the samples of a conditional GAN (cGAN-KD, Ding et al.)."""

__version__ = "0.1.0"
