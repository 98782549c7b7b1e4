// The page of `cdir explore`, from its first cell on: leaving it ends its kernel, and it says when its kernel has ended.
(() => {
  const { baseUrl, kernelId } = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const CHECKED_EVERY = 5000; // milliseconds
  let ended = false;

  // The server accepts a request that repeats the cookie `_xsrf`. Voilà sets none, so its own request to end the kernel
  // is refused (403); this handler, which is the first one, replaces Voilà's.
  window.addEventListener("beforeunload", (event) => event.stopImmediatePropagation());
  window.addEventListener("pagehide", () => {
    if (ended) return;
    const form = new FormData();
    form.append("_xsrf", xsrf());
    navigator.sendBeacon(`${baseUrl}voila/api/shutdown/${kernelId}`, form);
  });
  window.addEventListener("pageshow", (event) => event.persisted && location.reload()); // "back" to a page that was left

  function xsrf() {
    const sent = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
    if (sent) return sent[1];
    const made = crypto.getRandomValues(new Uint32Array(4)).join("");
    document.cookie = `_xsrf=${made}; path=${baseUrl}; samesite=strict`;
    return made;
  }

  // Asking for the state of a kernel does not count as activity, so an idle page still ends.
  async function check() {
    let problem = "";
    try {
      const answer = await fetch(`${baseUrl}api/kernels/${kernelId}`, { cache: "no-store" });
      ended = answer.status === 404;
      if (ended) problem = "This page has been idle for half an hour, or its memory ran out: reload it.";
    } catch {
      problem = "The explorer does not answer: start it again, then reload this page.";
    }
    show(problem);
  }

  function show(problem) {
    const cells = document.getElementById("rendered_cells");
    let banner = document.getElementById("cdir-banner");
    if (!banner) {
      banner = document.createElement("div");
      banner.id = "cdir-banner";
      banner.setAttribute("role", "alert");
      banner.style.cssText =
        "position: fixed; inset: 0 0 auto 0; z-index: 9999; padding: 12px; text-align: center; font: 16px sans-serif;" +
        "background: #D55E00; color: white;";
      document.body.append(banner);
    }
    if (banner.textContent !== problem) banner.textContent = problem;
    banner.hidden = !problem;
    cells.inert = Boolean(problem);
    cells.style.opacity = problem ? 0.5 : 1;
  }

  setInterval(check, CHECKED_EVERY);
  document.addEventListener("visibilitychange", () => document.hidden || check());
})();
