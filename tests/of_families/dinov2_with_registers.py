"""DINOv2 with registers: pictures alone."""

from . import Facts, dinov2

FACTS = Facts(
    unseen=dinov2.FACTS.unseen,
    changed=dinov2.FACTS.changed,
    together=dinov2.FACTS.together,
    forms=tuple((head, {k: v for k, v in form.items() if k != "use_mask_token"}) for head, form in dinov2.FACTS.forms),
)
