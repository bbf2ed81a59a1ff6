"""`python -m formers` is the `formers` command."""

from __future__ import annotations

from .cli import main

raise SystemExit(main())
