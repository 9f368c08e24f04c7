// The page's side of worker.js: questions as promises.

export class EngineClient {
  /** @param {string} source the worker's script: file:// has no URL to load one from */
  constructor(source) {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.worker = new Worker(url);
    URL.revokeObjectURL(url);
    this.count = 0;
    /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void, onFirst: (first: any) => void}>} */
    this.open = new Map();
    this.worker.onmessage = ({ data: { id, result, error, first } }) => {
      const asked = this.open.get(id);
      if (first) return asked?.onFirst(first);
      this.open.delete(id);
      if (error === undefined) asked?.resolve(result);
      else asked?.reject(new Error(error));
    };
    /** @type {Error | null} */
    this.stopped = null; // why nothing is answered any more
    this.worker.onerror = (event) => {
      this.stopped = new Error(event.message || "the worker stopped");
      for (const { reject } of this.open.values()) reject(this.stopped);
      this.open.clear();
    };
  }

  /**
   * @param {string} kind
   * @param {Record<string, any>} message
   * @param {Transferable[]} transfer
   * @param {(first: any) => void} [onFirst] a part of the answer came
   * @returns {Promise<any>}
   */
  ask(kind, message = {}, transfer = [], onFirst = () => {}) {
    return new Promise((resolve, reject) => {
      if (this.stopped) return reject(this.stopped);
      this.open.set(++this.count, { resolve, reject, onFirst });
      this.worker.postMessage({ id: this.count, kind, ...message }, transfer);
    });
  }
}
