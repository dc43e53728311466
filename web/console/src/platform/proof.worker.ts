// Searches for the number behind an ALTCHA challenge, away from the page's thread.
import { sha256 } from "./sha256";

export interface Search {
  salt: string;
  challenge: string;
  most: number;
}

addEventListener("message", ({ data }: MessageEvent<Search>) => {
  for (let number = 0; number <= data.most; number += 1) {
    if (sha256(data.salt + number) === data.challenge) {
      postMessage(number);
      return;
    }
  }
  postMessage(-1);
});
