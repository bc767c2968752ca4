"""JupyterLab that ends with its parent: `python -m tests.browser.serve [JupyterLab's options]`."""

import os
import signal
import threading

from jupyterlab.labapp import main

from tests.parent import wait_for_the_parents_end


def end_with_the_parent() -> None:
    wait_for_the_parents_end()
    os.kill(os.getpid(), signal.SIGTERM)  # its own way out: it ends its kernels first


if __name__ == "__main__":
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    main()
