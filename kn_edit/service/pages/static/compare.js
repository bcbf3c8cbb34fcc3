// Two versions answer one prompt; their tokens come as one stream of events, in turns.
"use strict";

const SIDES = ["a", "b"];
const FINISHES = { length: "as many tokens as were asked for", stop: "complete", time: "stopped: it took too long" };

// The events of a response, as pairs of a name and its data.
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const name = /^event: (.*)$/m.exec(part);
      const data = /^data: (.*)$/m.exec(part);
      if (data) yield [name ? name[1] : "message", JSON.parse(data[1])];
    }
  }
}

// Which of the places of each list are in no longest common subsequence.
function differing(a, b) {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  const marks = [a.map(() => true), b.map(() => true)];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) marks[0][i++] = marks[1][j++] = false;
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else j++;
  }
  return marks;
}

// A text without what hides, or turns the reading order round: as its code.
function shown(text) {
  return text.replace(/[^\P{C}\n\t\u200c\u200d]|[\u2028\u2029]/gu, (letter) => `\\u${letter.codePointAt(0).toString(16).padStart(4, "0")}`);
}

class Answer {
  constructor(side) {
    this.place = document.querySelector(`[data-said="${side}"]`);
    this.about = document.querySelector(`[data-about="${side}"]`);
    this.name = document.querySelector(`[data-name="${side}"]`);
    this.place.replaceChildren();
    this.about.textContent = "waiting";
    this.ids = [];
    this.parts = [];
  }

  add(event) {
    this.about.textContent = "answering";
    const index = Math.max(event.index, 0);
    while (this.parts.length <= index) {
      this.parts.push(document.createElement("span"));
      this.place.append(this.parts.at(-1));
    }
    this.parts[index].textContent += shown(event.text);
    if (event.token) this.ids[index] = event.token.id;
  }

  mark(marks) {
    this.parts.forEach((part, index) => {
      if (!marks[index] || part.tagName === "MARK" || part.textContent === "") return;
      const mark = document.createElement("mark");
      mark.textContent = part.textContent;
      part.replaceWith(mark);
      this.parts[index] = mark;
    });
  }
}

class Comparison {
  constructor(form) {
    this.form = form;
    this.outcome = document.getElementById("outcome");
    this.stop = form.querySelector("[data-stop]");
    this.submit = form.querySelector("[type=submit]");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    this.stop.addEventListener("click", () => this.running && this.running.abort());
  }

  body() {
    const fields = new FormData(this.form);
    const prompt = fields.get("prompt").replaceAll("\r\n", "\n");
    const asked = fields.get("form") === "chat" ? { messages: [{ role: "user", content: prompt }] } : { prompt };
    return JSON.stringify({ a: fields.get("a"), b: fields.get("b"), max_tokens: Number(fields.get("tokens")), ...asked });
  }

  async ask() {
    if (this.running) return;
    this.running = new AbortController();
    this.busy(true);
    this.tell("Asking both. The first answer after a start takes longer: the model is loaded.");
    document.getElementById("answers").hidden = false;
    this.answers = Object.fromEntries(SIDES.map((side) => [side, new Answer(side)]));
    for (const side of SIDES) this.answers[side].name.textContent = this.form.elements[side].value;
    try {
      const response = await fetch(this.form.dataset.events, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
        body: this.body(),
        signal: this.running.signal,
      });
      if (!response.ok) throw await problemOf(response);
      for await (const [name, data] of eventsOf(response)) this.take(name, data);
    } catch (error) {
      this.tell(error.name === "AbortError" ? "Stopped." : error.told || "The connection to the service was lost. Ask again.");
      for (const side of SIDES) this.answers[side].about.textContent = "not complete";
    }
    this.running = null;
    this.busy(false);
  }

  take(name, data) {
    if (name === "start") this.tell("Both are answering.");
    if (name === "error") throw { told: sentence(data) };
    if (name === "token") {
      const { a, b } = this.answers;
      this.answers[data.side].add(data);
      if (!data.agree) this.markAlong(Math.min(a.ids.length, b.ids.length), a, b);
    }
    if (name === "end") this.end(data);
  }

  markAlong(length, a, b) {
    const marks = Array.from({ length }, (_, index) => a.ids[index] !== b.ids[index]);
    a.mark(marks);
    b.mark(marks);
  }

  end(data) {
    const { a, b } = this.answers;
    const marks = differing(a.ids, b.ids);
    [a, b].forEach((answer, number) => {
      answer.parts.forEach((part) => part.tagName === "MARK" && part.replaceWith(part.textContent));
      answer.place.replaceChildren(...answer.parts.map((part) => Object.assign(document.createElement("span"), { textContent: part.textContent })));
      answer.parts = [...answer.place.children];
      answer.mark(marks[number]);
    });
    for (const side of SIDES) {
      const said = data[side];
      this.answers[side].about.textContent = `${said.answer_tokens} tokens, ${FINISHES[said.finish] || said.finish}`;
    }
    const first = data.first_difference;
    this.tell(first === null ? "Both say the same." : `They differ from token ${first + 1} on.`);
  }

  tell(text) {
    this.outcome.textContent = text;
  }

  busy(is) {
    this.submit.disabled = is;
    this.stop.hidden = !is;
    document.getElementById("answers").setAttribute("aria-busy", String(is));
  }
}

function sentence(problem) {
  const text = problem.message || problem.title || "the service failed";
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    if (response.status === 422 && !problem.message) return { told: "Both versions and a prompt are needed." };
    return { told: sentence(problem) };
  } catch {
    return { told: `The service answered with status ${response.status}. Ask again.` };
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("compare");
  if (form) new Comparison(form);
});
