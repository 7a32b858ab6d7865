"""Features of a frozen encoder, and the clips nearest to one of another performance."""

from torch.nn.functional import normalize

import mv2mae
from mv2mae.config import FeatureConfig, VideosConfig
from mv2mae.studies.features import extract_features, frozen_encoder

videos = mv2mae.read_manifest("sample").query("setup == 1 and view == 1").head(40).reset_index(drop=True)
encoder = frozen_encoder("synthetic-small")
features = extract_features(encoder, videos, VideosConfig(frame_stride=4), FeatureConfig(), progress=False)
vectors = features.of_videos()  # [videos, width]; kept on disk: a second look takes no time
vectors = normalize(vectors - vectors.mean(dim=0), dim=1)
likeness = vectors[0] @ vectors.T
print(f"nearest to group {videos['group'][0]} (label {videos['label'][0]}):")
for row in likeness.argsort(descending=True)[1:6].tolist():
    print(f"  {likeness[row]:.2f}  group {videos['group'][row]} (label {videos['label'][row]})")
