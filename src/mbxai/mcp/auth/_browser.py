"""The system's browser. Blocking; leans on nothing else."""

import webbrowser


def open_browser(url: str) -> bool:
    """Open an address in the system's browser.

    Args:
        url: An address that may be opened; see `_addresses.may_be_opened`.

    Returns:
        Whether a browser was found.
    """
    try:
        return webbrowser.open(url)  # starts a program by a list of words; no shell is involved
    except webbrowser.Error:
        return False
