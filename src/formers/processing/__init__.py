"""Images and sounds to what models read, alone and beside texts. Needs neither torch nor Pillow to be imported.

sources      paths, addresses, bytes -> a file on disk or in memory
reading      what stands for an image -> the image
hearing      what stands for a sound -> its samples
transforms   resizing, cropping, padding, numbers; sizes: what settings of size mean
ocr          the words on a page, and where they stand
image        BaseImageProcessor: settings, calls; settings: what they may be; feature: what a call gives
sequence     SequenceFeatureExtractor: settings, padding; of_sound: the extractors; spectrogram: bands of frequencies
configured   settings as attributes, keywords and lines of a file
processor    ProcessorMixin: an image processor and a tokenizer as one; sound_processor: with sounds in place of images
spoken       processors of speech: Whisper's and Wav2Vec2's
files        preprocessor_config.json and processor_config.json
"""

from .feature import BatchFeature
from .hearing import load_audio
from .image import BaseImageProcessor
from .processor import ProcessorMixin
from .reading import load_image
from .sequence import SequenceFeatureExtractor
from .sound_processor import SoundProcessorMixin
from .transforms import PILImageResampling

__all__ = [
    "BaseImageProcessor",
    "BatchFeature",
    "PILImageResampling",
    "ProcessorMixin",
    "SequenceFeatureExtractor",
    "SoundProcessorMixin",
    "load_audio",
    "load_image",
]
