// Scores at a fixed rate. k6 run -e TOKEN="$(scoreboard token --sub k6 --scope 'scores:write leaderboards:admin' --ttl 1h)" load/k6/scores.js
import { check } from "k6";
import http from "k6/http";

const URL = __ENV.URL || "http://127.0.0.1:8080";
const LEADERBOARD = __ENV.LEADERBOARD || "k6";
const headers = { Authorization: `Bearer ${__ENV.TOKEN}`, "Content-Type": "application/json" };

export const options = {
  scenarios: {
    scores: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 100),
      timeUnit: "1s",
      duration: __ENV.DURATION || "30s",
      preAllocatedVUs: 64,
      maxVUs: 512,
    },
  },
  thresholds: { http_req_failed: ["rate==0"], "http_req_duration{name:score}": ["p(95)<50"] },
};

export function setup() {
  const tags = { name: "setup" };
  const responseCallback = http.expectedStatuses(201, 409);
  http.post(`${URL}/api/leaderboards`, JSON.stringify({ id: LEADERBOARD }), { headers, tags, responseCallback });
  const action = { id: `${LEADERBOARD}.point`, leaderboards: [LEADERBOARD], points: 1 };
  http.post(`${URL}/api/actions`, JSON.stringify(action), { headers, tags, responseCallback });
}

export default function () {
  const body = { actionId: `${LEADERBOARD}.point`, userId: `u-${Math.floor(Math.random() * 1000)}` };
  const key = `${__VU}-${__ITER}-${Date.now()}`;
  const answer = http.post(`${URL}/api/scores`, JSON.stringify(body), {
    headers: { ...headers, "Idempotency-Key": key },
    tags: { name: "score" },
  });
  check(answer, { accepted: (r) => r.status === 200, ranked: (r) => r.json("rank") !== null });
}
