// Redis: the leaderboard cache (cache-aside) and the channel between servers.
import Redis from "ioredis";

const CHANNEL = "score-updates";
const SECONDS = 300;

// Commands of one turn of the event loop go out together.
const redis = new Redis(process.env.REDIS_URL, { enableAutoPipelining: true });
const subscriber = new Redis(process.env.REDIS_URL);

const key = (limit) => `leaderboard:${limit}`;
const limits = new Set();

export async function cachedTop(limit, query) {
  limits.add(limit);
  const cached = await redis.get(key(limit));
  if (cached) return cached;
  const fresh = JSON.stringify(await query(limit));
  await redis.set(key(limit), fresh, "EX", SECONDS);
  return fresh;
}

export async function invalidate() {
  if (limits.size) await redis.del(...[...limits].map(key));
}

export const publish = (event) => redis.publish(CHANNEL, JSON.stringify(event));

export async function subscribe(listener) {
  await subscriber.subscribe(CHANNEL);
  subscriber.on("message", (_channel, message) => listener(message));
}
