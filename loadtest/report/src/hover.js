// Read-outs under the pointer. Without this script the page says the same in its labels and tables.
document.querySelectorAll("figure[data-hover]").forEach(function (figure) {
  var points = JSON.parse(figure.dataset.hover);
  var out = figure.querySelector(".read-out");
  if (!points.length || !out) return;
  figure.querySelectorAll("svg").forEach(function (svg) {
    var d = svg.dataset, left = +d.left, right = +d.right, hair = svg.querySelector(".hair");
    function clear() { out.textContent = ""; hair.setAttribute("d", ""); }
    function show(event) {
      var box = svg.getBoundingClientRect();
      var at = ((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width - left) / (right - left);
      if (at < -0.02 || at > 1.02) return clear();
      var low = 0, high = points.length - 1;
      while (low < high) {
        var middle = (low + high) >> 1;
        if ((points[middle][0] + points[middle + 1][0]) / 2 < at) low = middle + 1; else high = middle;
      }
      out.textContent = points[low][1];
      hair.setAttribute("d", "M" + (left + points[low][0] * (right - left)) + " " + d.top + "V" + d.bottom);
    }
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", clear);
  });
});
addEventListener("beforeprint", function () {
  document.querySelectorAll("details").forEach(function (details) { details.open = true; });
});
