"""Images to what models read, alone and beside texts. Needs neither torch nor Pillow to be imported.

reading      what stands for an image -> the image
transforms   resizing, cropping, padding, numbers; sizes: what settings of size mean
ocr          the words on a page, and where they stand
image        BaseImageProcessor: settings, calls; settings: what they may be; feature: what a call gives
processor    ProcessorMixin: an image processor and a tokenizer as one
files        preprocessor_config.json and processor_config.json
"""

from .feature import BatchFeature
from .image import BaseImageProcessor
from .processor import ProcessorMixin
from .reading import load_image
from .transforms import PILImageResampling

__all__ = ["BaseImageProcessor", "BatchFeature", "PILImageResampling", "ProcessorMixin", "load_image"]
