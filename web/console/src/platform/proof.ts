// Proof of work for sign-up (ALTCHA's SHA-256 scheme), solved in a worker while somebody types.
import { Failure } from "./failure";
import type { Search } from "./proof.worker";
import ProofWorker from "./proof.worker?worker";
import { ask } from "./session.svelte";

interface Challenge {
  algorithm: string;
  challenge: string;
  salt: string;
  signature: string;
  maxNumber?: number;
  maxnumber?: number;
}

/** Ask for a challenge and solve it; the text that `register` takes. */
export async function prove(): Promise<string> {
  const given = await ask<Challenge>("challenge");
  const most = given.maxNumber ?? given.maxnumber ?? 1_000_000;
  const number = await search({ salt: given.salt, challenge: given.challenge, most });
  const { algorithm, challenge, salt, signature } = given;
  return btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
}

function search(work: Search): Promise<number> {
  return new Promise((solved, failed) => {
    const worker = new ProofWorker();
    worker.onmessage = ({ data }: MessageEvent<number>) => {
      worker.terminate();
      if (data >= 0) solved(data);
      else failed(new Failure("The check that you are not a robot failed. Reload the page.", "PROOF"));
    };
    worker.onerror = () => failed(new Failure("Your browser could not run the check. Reload the page.", "PROOF"));
    worker.postMessage(work);
  });
}
