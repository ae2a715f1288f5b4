// Finds elements by what a person reads on them. It is evaluated together with
// one call, such as find.button("Save", "").
const find = (() => {
  const squash = (text) => (text || "").replace(/\s+/g, " ").trim();
  const lower = (text) => squash(text).toLowerCase();
  const visible = (e) => !e.closest("[aria-hidden=true]") && e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getClientRects().length > 0;

  const labels = (e) => {
    const ids = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
    return [
      e.getAttribute("aria-label"),
      ...ids.map((id) => document.getElementById(id)?.textContent),
      ...[...(e.labels || [])].map((l) => own(l)),
    ].map(squash).filter(Boolean);
  };
  // own is the text of a label without that of the control inside it.
  const own = (label) => {
    const copy = label.cloneNode(true);
    copy.querySelectorAll("select, textarea, [hidden]").forEach((e) => e.remove());
    return copy.textContent;
  };
  const written = (e) => [
    ...labels(e),
    e.matches("input[type=submit], input[type=button], input[type=reset]") ? e.value : "",
    e.matches("input, select, textarea") ? "" : e.innerText,
    e.matches("input, select, textarea") ? "" : e.textContent,
    e.querySelector?.("img[alt]")?.alt,
    e.getAttribute("title"),
  ].map(squash).filter(Boolean);

  const pick = (elements, text) => {
    const wanted = lower(text);
    const by = (fits) => elements.find((e) => written(e).some((w) => fits(w.toLowerCase())));
    return by((w) => w === wanted) || by((w) => w.startsWith(wanted)) || by((w) => w.includes(wanted));
  };

  // scope is the smallest part of the page that shows a text; an open dialog
  // covers the rest.
  const parts = "dialog, [role=dialog], tr, li, article, section, fieldset, details, form, nav, header, main, aside, dl, [role=group], [role=tabpanel], [data-part]";
  const scope = (text) => {
    const top = [...document.querySelectorAll("dialog:modal")].pop() || document.body;
    if (!text) return top;
    const fit = [...top.querySelectorAll(parts)].filter((e) => visible(e) && lower(e.innerText).includes(lower(text)));
    return fit.sort((a, b) => a.innerText.length - b.innerText.length)[0];
  };

  const all = (selector, within) => {
    const part = scope(within);
    return part ? [part, ...part.querySelectorAll("*")].filter((e) => e.matches(selector)) : [];
  };
  const missing = (what, text, within, elements) => ({
    why: `no ${what} "${text}"` + (within ? ` near "${within}"` : "") + (within && !scope(within) ? ", which is not there either" : "") +
      "; there are: " + elements.map((e) => written(e)[0] || "<" + e.tagName.toLowerCase() + " " + (e.id || e.name || "without a name") + ">").slice(0, 40).join(" | "),
  });

  const point = (e) => {
    e.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const box = e.getClientRects()[0];
    const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    const hit = document.elementFromPoint(at.x, at.y);
    if (!hit || !(e.contains(hit) || hit.contains(e) || [...(e.labels || [])].some((l) => l.contains(hit)))) {
      return { why: `"${written(e)[0]}" is covered by ${hit ? hit.outerHTML.slice(0, 120) : "something outside the window"}` };
    }
    return at;
  };

  const clickable = "a[href], button, summary, label, input[type=submit], input[type=button], input[type=reset], [role=button], [role=tab], [role=menuitem]";
  const fields = "input:not([type=hidden]):not([type=submit]):not([type=button]), select, textarea, [contenteditable=true]";
  const field = (label, within) => {
    const elements = all(fields, within).filter((e) => visible(e) || e.matches("[type=checkbox], [type=radio], [type=file]") && [...(e.labels || [])].some(visible));
    const e = pick(elements, label);
    return { e, why: e ? "" : missing("field", label, within, elements).why };
  };

  return {
    button(text, within) {
      const elements = all(clickable, within).filter(visible);
      const e = pick(elements.filter((e) => e.tagName !== "LABEL"), text) || pick(elements, text);
      if (!e) return missing("button or link", text, within, elements);
      if (e.disabled || e.getAttribute("aria-disabled") === "true") return { why: `"${text}" is disabled` };
      return point(e);
    },
    // focus prepares a field for typing.
    focus(label, within) {
      const { e, why } = field(label, within);
      if (!e) return { why };
      if (e.disabled || e.readOnly) return { why: `"${label}" cannot be changed` };
      e.scrollIntoView({ block: "center", behavior: "instant" });
      e.focus();
      if (document.activeElement !== e) return { why: `"${label}" does not take the focus` };
      if (e.select) e.select();
      return { kind: e.tagName === "SELECT" ? "select" : e.type || "text", value: e.value ?? e.textContent };
    },
    // choose takes the option with a text, or sets the value of a field that
    // has an editor of its own (dates).
    choose(label, text, within) {
      const { e, why } = field(label, within);
      if (!e) return { why };
      if (e.tagName === "SELECT") {
        const option = pick([...e.options], text);
        if (!option) return { why: `"${label}" has no choice "${text}"; it has: ` + [...e.options].map((o) => squash(o.text)).join(" | ") };
        if (option.disabled) return { why: `"${text}" of "${label}" is disabled` };
        option.selected = true;
      } else {
        e.value = text;
      }
      e.dispatchEvent(new Event("input", { bubbles: true }));
      e.dispatchEvent(new Event("change", { bubbles: true }));
      return { value: e.value };
    },
    box(label, within) {
      const { e, why } = field(label, within);
      if (!e) return { why };
      if (e.disabled) return { why: `"${label}" is disabled` };
      return { checked: e.checked, ...point(visible(e) ? e : [...e.labels].find(visible)) };
    },
    value(label, within) {
      const { e, why } = field(label, within);
      if (!e) return { why };
      return { value: e.tagName === "SELECT" ? squash(e.selectedOptions[0]?.text) : e.matches("[type=checkbox], [type=radio]") ? String(e.checked) : e.value };
    },
    element: (label, within) => field(label, within).e,
    sees(text, within) {
      const part = scope(within);
      const shown = part ? squash(part.innerText) : "";
      return shown.toLowerCase().includes(lower(text)) ? {} : { why: `"${text}" is not to be seen` + (within ? ` near "${within}"` : "") + "; the page says: " + shown.slice(0, 1500) };
    },
    // focused tells what the keyboard is on, and how that is marked.
    focused() {
      const e = document.activeElement;
      if (!e || e === document.body) return { name: "", tag: "" };
      const s = getComputedStyle(e), marked = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== "none";
      return { name: written(e)[0] || e.innerText || "", tag: e.tagName.toLowerCase(), marked, path: e.id || e.name || "" };
    },
    busy: () => !!document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling"),
  };
})();
