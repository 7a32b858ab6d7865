// Questions to the viewer's server, and its answers.

/** An answer of the server that a person should read. */
export class Refusal extends Error {}

const ARRAYS = { uint8: Uint8Array, float32: Float32Array };

/** JSON from a GET address. */
export async function get(path) {
  return (await checked(await reached(fetch(path)))).json();
}

/** The answer to a question: an object; its arrays, if any, stand under `arrays` by name as {data, shape}. */
export async function ask(name, question) {
  const answer = await checked(await reached(fetch(`/api/${name}`, { method: "POST", body: JSON.stringify(question) })));
  if (answer.headers.get("content-type").startsWith("application/json")) return answer.json();
  return unpacked(await answer.arrayBuffer());
}

/** Sends two files one after the other in one body; `progress` gets shares from 0 to 1. */
export function send(files, progress) {
  const about = JSON.stringify({ names: files.map((file) => file.name.slice(-200)), sizes: files.map((file) => file.size) });
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch tells nothing of an upload's progress
    request.open("POST", `/api/files?about=${encodeURIComponent(about)}`);
    request.upload.onprogress = (event) => progress(event.loaded / Math.max(1, event.total));
    request.onerror = () => reject(new Refusal("the upload did not reach the viewer; is it still running?"));
    request.onload = () => {
      const answer = parsed(request.responseText);
      if (request.status === 200) resolve(answer);
      else reject(new Refusal(answer.error || `the viewer answered ${request.status}`));
    };
    request.send(new Blob(files));
  });
}

async function reached(promise) {
  try {
    return await promise;
  } catch {
    throw new Refusal("the viewer does not answer; is it still running in its terminal?");
  }
}

async function checked(response) {
  if (response.ok) return response;
  throw new Refusal(parsed(await response.text()).error || `the viewer answered ${response.status}`);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const answer = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const { name, type, shape, offset } of answer.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    arrays[name] = { data: new ARRAYS[type](buffer, 4 + length + offset, count), shape };
  }
  return { ...answer, arrays };
}
