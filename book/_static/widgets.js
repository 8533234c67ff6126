// Widgets typeset their labels with a call of MathJax 2; the site has MathJax 3 (or none, where a page has no formula).
window.addEventListener("load", () => {
  if (window.MathJax) {
    MathJax.Hub = {
      Queue: ([, , element]) => MathJax.startup.promise.then(() => MathJax.typesetPromise([element])),
    };
  }
});
