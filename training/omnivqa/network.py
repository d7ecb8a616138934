"""The network: SigLIP on key frames, the fast pathway of SlowFast on all frames, Qwen2 over the tokens of both.

Jia et al., "Scaling-up Perceptual Video Quality Assessment" (arXiv 2505.22543); the names of the tensors are those of
the released LLaVA-style checkpoints (`LlavaQwenForCausalLM`), so `state_dict()` is the checkpoint.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen2Config, Qwen2Model, SiglipVisionConfig
from transformers.cache_utils import DynamicCache
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer, SiglipVisionEmbeddings

from .config import ModelConfig, MotionConfig, VisionConfig

# BT.601 luma and chroma of RGB 0..255, chroma around 0.
YCBCR = ((0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))
BLOCK = 8
BANDS = 2 * BLOCK - 1
CHROMA_BANDS = (1, 2, 3, 4, 6, 8, 10, 12)
STATISTICS = BLOCK * BLOCK + 3 * BANDS + 2 * len(CHROMA_BANDS) + 4 * 3 + 3
# A DCT coefficient of this size or less was quantised away, or there was nothing to see.
SILENT = 0.6


def dct_filters() -> torch.Tensor:
    """Orthonormal 8x8 DCT-II as convolution filters [64,1,8,8]; coefficient u*8+v, u vertical."""
    k = torch.arange(BLOCK, dtype=torch.float64)
    basis = torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return torch.einsum("ui,vj->uvij", basis, basis).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK).float()


class CellStatisticsEmbeddings(nn.Module):
    """Tokens from what compression, blur, noise and exposure leave in the block statistics of a cell.

    Per view and cell 140 numbers: log mean magnitude of the 64 DCT coefficients of luma, log maximum and minimum of the
    15 radial bands over the blocks of the cell and the share of silent coefficients, chroma bands, colour mean, spread
    and range, saturation. The views are concatenated, normalised, and embedded by a small MLP.
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.cell = config.patch_size
        width = config.hidden_size
        self.dct = nn.Conv2d(1, BLOCK * BLOCK, BLOCK, BLOCK, bias=False)
        self.dct.weight = nn.Parameter(dct_filters(), requires_grad=False)
        self.norm = nn.BatchNorm1d(STATISTICS * len(config.views), eps=1e-5)
        self.fc1 = nn.Linear(STATISTICS * len(config.views), 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.position_embedding = nn.Embedding(config.grid**2, width)
        band = (torch.arange(BLOCK)[:, None] + torch.arange(BLOCK)).flatten()
        members = F.one_hot(band, BANDS).float()
        self.register_buffer("bands", (members / members.sum(0)).t().reshape(BANDS, -1, 1, 1), persistent=False)
        self.register_buffer("ycbcr", torch.tensor(YCBCR).reshape(3, 3, 1, 1), persistent=False)

    def statistics(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n,V,S,S,3] RGB 0..255 to [n,cells,140 V]."""
        n, views = pixels.shape[:2]
        rgb = pixels.flatten(0, 1).permute(0, 3, 1, 2).float()
        blocks = self.cell // BLOCK
        ycbcr = F.conv2d(rgb, self.ycbcr.to(rgb))
        planes = ycbcr.flatten(0, 1)[:, None]
        magnitude = F.conv2d(planes, self.dct.weight.float(), stride=BLOCK).abs().unflatten(0, (-1, 3))
        luma, chroma = magnitude[:, 0], magnitude[:, 1:]
        bands = self.bands.to(rgb)
        band = F.conv2d(luma, bands)
        chosen = bands[list(CHROMA_BANDS)]
        mean = F.avg_pool2d(rgb, self.cell)
        deviation = rgb - mean.repeat_interleave(self.cell, 2).repeat_interleave(self.cell, 3)
        y = ycbcr[:, :1]
        features = [
            torch.log(F.avg_pool2d(luma, blocks) + 0.2),
            torch.log(F.max_pool2d(band, blocks) + 0.2),
            torch.log(-F.max_pool2d(-band, blocks) + 0.2),
            F.avg_pool2d(F.conv2d((luma < SILENT).to(rgb), bands), blocks),
            torch.log(F.conv2d(F.avg_pool2d(chroma[:, 0], blocks), chosen) + 0.2),
            torch.log(F.conv2d(F.avg_pool2d(chroma[:, 1], blocks), chosen) + 0.2),
            mean / 255 * 4 - 2,
            torch.log(F.avg_pool2d(deviation.square(), self.cell).sqrt() + 0.1),
            F.max_pool2d(rgb, self.cell) / 64 - 2,
            -F.max_pool2d(-rgb, self.cell) / 64 - 2,
            F.avg_pool2d((y > 250).to(rgb), self.cell),
            F.avg_pool2d((y < 6).to(rgb), self.cell),
            torch.log(F.avg_pool2d(y, self.cell) + 4) - 4,
        ]
        cells = torch.cat(features, 1).flatten(2).transpose(1, 2)
        return cells.unflatten(0, (n, views)).transpose(1, 2).flatten(2)

    def embed_statistics(self, statistics: torch.Tensor) -> torch.Tensor:
        """[n,cells,140 V] to tokens [n,cells,d]. In training mode the norm sees all cells of the batch."""
        normed = self.norm(statistics.to(self.fc1.weight.dtype).transpose(1, 2)).transpose(1, 2)
        return self.fc2(F.gelu(self.fc1(normed))) + self.position_embedding.weight

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.embed_statistics(self.statistics(pixels))


class PatchEmbeddings(SiglipVisionEmbeddings):
    """SigLIP's own embeddings on pixels [n,1,S,S,3] RGB 0..255, normalised as (x/255 - 0.5) / 0.5."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        weight = self.patch_embedding.weight
        return super().forward(normalise(pixels[:, 0]).permute(0, 3, 1, 2).to(weight.dtype))


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """RGB 0..255 to -1..1, as SigLIP's image processor does."""
    return (pixels.float() / 255 - 0.5) / 0.5


class VisionTransformer(nn.Module):
    """The selected layers of a SigLIP vision tower (Zhai et al., ICCV 2023): pixels [n,V,S,S,3] to [n,g*g,d]."""

    def __init__(self, config: VisionConfig, layers: int):
        super().__init__()
        siglip = SiglipVisionConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_attention_heads=config.num_attention_heads,
            num_channels=config.num_channels,
            image_size=config.image_size,
            patch_size=config.patch_size,
            hidden_act=config.hidden_act,
            layer_norm_eps=config.layer_norm_eps,
        )
        siglip._attn_implementation = "sdpa"
        patch = config.embeddings == "patch"
        self.embeddings = PatchEmbeddings(siglip) if patch else CellStatisticsEmbeddings(config)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(SiglipEncoderLayer(siglip) for _ in range(layers))
        norm = config.use_post_layernorm
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if norm else None

    def encode(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embedded patches [n,g*g,d] through the encoder layers."""
        for layer in self.encoder.layers:
            embeddings = layer(embeddings, attention_mask=None)
        return embeddings if self.post_layernorm is None else self.post_layernorm(embeddings)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.encode(self.embeddings(pixels))


class Stem(nn.Module):
    """SlowFast's stem: convolution, norm, ReLU, spatial max pooling."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        channels = config.num_channels * (2 if config.input == "rgb_logdiff" else 1)
        self.conv = conv(channels, config.stem_width, config.stem_kernel, config.stem_stride)
        self.norm = nn.BatchNorm3d(config.stem_width, eps=config.norm_eps)
        self.pool = nn.MaxPool3d(config.pool_kernel, config.pool_stride, tuple(k // 2 for k in config.pool_kernel))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(F.relu(self.norm(self.conv(x))))


class Bottleneck(nn.Module):
    """The three convolutions of a residual block: temporal, spatial (strided), pointwise."""

    def __init__(self, width: int, inner: int, out: int, stride: int, config: MotionConfig):
        super().__init__()
        self.conv_a = conv(width, inner, (config.temporal_kernel, 1, 1))
        self.norm_a = nn.BatchNorm3d(inner, eps=config.norm_eps)
        self.conv_b = conv(inner, inner, (1, 3, 3), (1, stride, stride))
        self.norm_b = nn.BatchNorm3d(inner, eps=config.norm_eps)
        self.conv_c = conv(inner, out, (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(out, eps=config.norm_eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm_a(self.conv_a(x)))
        x = F.relu(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))


class ResidualBlock(nn.Module):
    def __init__(self, width: int, inner: int, out: int, stride: int, config: MotionConfig):
        super().__init__()
        projected = width != out or stride != 1
        self.branch1_conv = conv(width, out, (1, 1, 1), (1, stride, stride)) if projected else None
        self.branch1_norm = nn.BatchNorm3d(out, eps=config.norm_eps) if projected else None
        self.branch2 = Bottleneck(width, inner, out, stride, config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.branch1_conv is None else self.branch1_norm(self.branch1_conv(x))
        return F.relu(shortcut + self.branch2(x))


def conv(width: int, out: int, kernel: tuple[int, ...], stride: tuple[int, ...] = (1, 1, 1)) -> nn.Conv3d:
    return nn.Conv3d(width, out, kernel, stride, tuple(k // 2 for k in kernel), bias=False)


class FastPathway(nn.Module):
    """The fast pathway of SlowFast (Feichtenhofer et al., ICCV 2019, section 3.2): all frames, few channels, no
    temporal stride. Nothing flows from the slow pathway into it, so it stands alone. Names as in pytorchvideo's
    `create_slowfast`, whose pathway 1 this is."""

    def __init__(self, config: MotionConfig):
        super().__init__()
        self.config = config
        self.feature_extraction = nn.ModuleList([pathway(Stem(config))])
        width = config.stem_width
        stages = zip(config.depths, config.widths, config.inner_widths, config.spatial_strides, strict=True)
        for depth, out, inner, stride in stages:
            stage = nn.Module()
            stage.res_blocks = nn.ModuleList(
                ResidualBlock(out if i else width, inner, out, 1 if i else stride, config) for i in range(depth)
            )
            self.feature_extraction.append(pathway(stage))
            width = out
        self.position_embedding = nn.Embedding(config.max_positions, width)

    def forward(self, frames: torch.Tensor, first: int = 0) -> torch.Tensor:
        """[b,T,S,S,3] RGB 0..255 to [b,T,C]; `first` is the position of the first frame in its clip."""
        x = normalise(frames)
        if self.config.input == "rgb_logdiff":
            difference = torch.log1p(128 * (x[:, 1:] - x[:, :-1]).abs()) - 1
            # The clip's first frame has no predecessor: it copies the second's difference.
            head = difference[:, :1] if x.shape[1] > 1 else torch.full_like(x, -1)
            x = torch.cat([x, torch.cat([head, difference], 1)], -1)
        stem, *stages = (block.multipathway_blocks["1"] for block in self.feature_extraction)
        x = stem(x.permute(0, 4, 1, 2, 3).to(stem.conv.weight.dtype))
        for stage in stages:
            for block in stage.res_blocks:
                x = block(x)
        pooled = x.mean((3, 4)).transpose(1, 2)
        return pooled + self.position_embedding.weight[first : first + pooled.shape[1]]


def pathway(module: nn.Module) -> nn.Module:
    block = nn.Module()
    block.multipathway_blocks = nn.ModuleDict({"1": module})
    return block


def projector(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out), nn.GELU(), nn.Linear(out, out))


class OmniVQA(nn.Module):
    """The whole network, its pieces callable one by one. Tensors are float32 unless the module was cast."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.model = Qwen2Model(
            Qwen2Config(
                hidden_size=hidden,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                vocab_size=config.vocab_size,
                rms_norm_eps=config.rms_norm_eps,
                rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
                max_position_embeddings=config.max_position_embeddings,
                tie_word_embeddings=config.tie_word_embeddings,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        self.lm_head = nn.Linear(hidden, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.model.image_newline = nn.Parameter(torch.randn(hidden) / math.sqrt(hidden))
        # LLaVA wraps the tower in a class of its own, which wraps transformers': hence the two nested names.
        self.model.vision_tower = nn.Module()
        self.model.vision_tower.vision_tower = nn.Module()
        self.model.vision_tower.vision_tower.vision_model = VisionTransformer(config.vision, config.vision_layers)
        self.model.mm_projector = projector(config.vision.hidden_size, hidden)
        if config.mm_projector_position:
            self.model.mm_projector_position = nn.Embedding(config.tokens_per_frame, hidden)
            nn.init.normal_(self.model.mm_projector_position.weight, std=1 / math.sqrt(hidden))
        if config.motion is not None:
            self.model.slowfast = FastPathway(config.motion)
            self.model.slowfast_projector = projector(config.motion.widths[-1], hidden)
            nn.init.normal_(self.model.slowfast.position_embedding.weight, std=0.02)
            for module in self.model.slowfast.modules():
                if isinstance(module, nn.Conv3d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        width = config.vision.hidden_size
        nn.init.normal_(self.tower.embeddings.position_embedding.weight, std=1 / math.sqrt(width))

    @property
    def tower(self) -> VisionTransformer:
        return self.model.vision_tower.vision_tower.vision_model

    def vision_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Key frames u8 or float [...,V,S,S,3], RGB 0..255, to [...,P,H]."""
        lead = pixels.shape[:-4]
        return self.project_vision(self.tower(pixels.flatten(0, len(lead) - 1))).unflatten(0, lead)

    def project_vision(self, patches: torch.Tensor) -> torch.Tensor:
        """The tower's output [n,g*g,d] to [n,P,H]: projected first, then pooled, as LLaVA-NeXT does."""
        grid, pooled = self.config.vision.grid, self.config.pooled_grid
        tokens = self.model.mm_projector(patches)
        image = tokens.unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        image = F.interpolate(image, size=(pooled, pooled), mode="bilinear", align_corners=False, antialias=False)
        tokens = image.flatten(2).transpose(1, 2)
        return tokens + self.model.mm_projector_position.weight if self.config.mm_projector_position else tokens

    def motion_tokens(self, frames: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Consecutive frames u8 or float [...,T,S,S,3], RGB 0..255, to one token a frame [...,T,H]."""
        lead = frames.shape[:-4]
        features = self.model.slowfast(frames.reshape(-1, *frames.shape[-4:]), first)
        return self.model.slowfast_projector(features).reshape(*lead, frames.shape[-4], -1)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids i64 [...] to [...,H]."""
        return self.model.embed_tokens(ids)

    def logits(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: DynamicCache | None = None,
        last: int = 0,
    ) -> torch.Tensor:
        """[b,S,H] to [b,S,vocabulary], or to [b,last,vocabulary] for the last positions alone. `attention_mask`
        [b,S] is 1 at the tokens of a padded batch; `cache` holds what came before and takes these positions in."""
        hidden = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return self.lm_head(hidden[:, -last:])
