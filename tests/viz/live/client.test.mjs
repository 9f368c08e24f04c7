import assert from "node:assert/strict";
import test from "node:test";
import { EngineClient } from "../../../handlib/viz/static/live/client.js";

test("a worker that stopped answers no question, and each is told why", async () => {
  globalThis.Worker = class { postMessage() {} };
  const client = new EngineClient("");
  const before = client.ask("load");
  client.worker.onerror({ message: "no memory" });
  await assert.rejects(before, /no memory/);
  await assert.rejects(client.ask("photo"), /no memory/);
});
