// Small parts of a page, and numbers that came as text.

const TYPES = { f4: Float32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array };

/**
 * An element; attributes whose names begin with "on" are listeners.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 * @returns {any}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** @param {string} label @param {() => void} onclick @returns {HTMLButtonElement} */
export const button = (label, onclick) => element("button", { type: "button", onclick }, label);

/**
 * A box to check, inside its label.
 * @param {string} id
 * @param {string} label
 * @param {boolean} checked
 * @param {(checked: boolean) => void} write
 * @returns {HTMLLabelElement}
 */
export function checkbox(id, label, checked, write) {
  const input = element("input", { id, type: "checkbox", onchange: () => write(input.checked) });
  input.checked = checked;
  return element("label", { for: id, class: "check" }, input, label);
}

/**
 * A typed array that viz/packing.py packed: its type and its bytes in base64.
 * @param {[keyof typeof TYPES, string]} packed
 * @returns {any}
 */
export const unpack = ([type, text]) => new TYPES[type](Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
