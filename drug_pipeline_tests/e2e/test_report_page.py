"""The pages of a small chain as a browser shows them: axe finds nothing, and nothing overflows."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drug_pipeline_tests.e2e.conftest import Built

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / ".axe" / "axe_playwright_python" / "axe.min.js"
PATIENCE_SECONDS = 300
WIDTHS = {"desktop": 1280, "telephone": 390}
TOLD = """
addEventListener("load", async () => {
  for (const one of document.querySelectorAll("details")) one.open = OPEN;
  const wide = document.documentElement.scrollWidth;
  const found = await axe.run();
  const broken = found.violations.map(rule => [rule.id, rule.nodes[0].html]);
  parent.postMessage(JSON.stringify({broken, wide, seen: innerWidth, passes: found.passes.length}), "*");
});
"""
FRAME = """<!doctype html><body style="margin: 0"><iframe src="page.html" style="border: 0"
width="WIDTH" height="900"></iframe>
<script>onmessage = said => document.body.textContent = said.data</script>"""
"""A frame has any width; a window of the browser has at least 500."""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None or not AXE.is_file():
        pytest.skip("needs chromium on the path and axe in .axe; `make test-slow` fetches axe")
    return found


def _look(chromium: str, page: Path, folder: Path, *, width: int, is_open: bool) -> dict[str, Any]:
    """What axe says of a page in a window of that width."""
    script = TOLD.replace("OPEN", str(is_open).lower())
    scripts = f"<script>{AXE.read_text(encoding='utf-8')}</script><script>{script}</script>"
    text = page.read_text(encoding="utf-8").replace("</head>", f"{scripts}</head>")
    (folder / "page.html").write_text(text, encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    shown = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder / 'profile'}",
            "--window-size=1400,1000",
            f"--virtual-time-budget={1000 * PATIENCE_SECONDS}",
            "--dump-dom",
            (folder / "frame.html").as_uri(),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    ).stdout
    told = re.search(r"<body[^>]*>(\{.*\})\s*</body>", shown, re.DOTALL)
    assert told, shown[-2000:]
    found: dict[str, Any] = json.loads(html.unescape(told[1]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("is_open", [False, True], ids=["folded", "unfolded"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("page", ["evaluation", "ablation", "imbalance"])
def test_a_page_can_be_read_by_everybody_at_any_width(
    built: Built, chromium: str, tmp_path: Path, page: str, width: int, *, is_open: bool
) -> None:
    path = built.layout.root / "reports" / page / "report.html"

    found = _look(chromium, path, tmp_path, width=width, is_open=is_open)

    assert found["broken"] == []
    assert found["passes"] > 10  # it has looked
    assert found["wide"] <= found["seen"] == width
