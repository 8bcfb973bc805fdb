// Reads of the top and of single places at a fixed rate. Run scores.js first, for users to read. k6 run load/k6/reads.js
import { check } from "k6";
import http from "k6/http";

const URL = __ENV.URL || "http://127.0.0.1:8080";
const LEADERBOARD = __ENV.LEADERBOARD || "k6";
const entries = `${URL}/api/leaderboards/${LEADERBOARD}/entries`;

const arrivals = (exec, rate) => ({
  executor: "constant-arrival-rate",
  exec,
  rate,
  timeUnit: "1s",
  duration: __ENV.DURATION || "30s",
  preAllocatedVUs: 64,
  maxVUs: 512,
});

// Whole numbers only: k6 refuses any other rate.
const rate = Number(__ENV.RATE || 500);

export const options = {
  scenarios: { top: arrivals("top", rate), place: arrivals("place", Math.max(1, Math.round(rate / 5))) },
  thresholds: { http_req_failed: ["rate==0"], "http_req_duration{name:top}": ["p(95)<10"] },
};

export function top() {
  check(http.get(`${entries}?limit=10`, { tags: { name: "top" } }), { answered: (r) => r.status === 200 });
}

export function place() {
  const user = `u-${Math.floor(Math.random() * 1000)}`;
  const responseCallback = http.expectedStatuses(200, 404);
  http.get(`${entries}/${user}?around=2`, { tags: { name: "place" }, responseCallback });
}
