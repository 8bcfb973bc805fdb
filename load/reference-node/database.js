// PostgreSQL: the source of truth for scores and their history.
import pg from "pg";

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });

export async function migrate() {
  await pool.query(`
    CREATE SCHEMA IF NOT EXISTS reference_node;
    CREATE TABLE IF NOT EXISTS reference_node.users (
      id text PRIMARY KEY, score bigint NOT NULL DEFAULT 0, updated_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX IF NOT EXISTS users_by_score ON reference_node.users (score DESC, updated_at);
    CREATE TABLE IF NOT EXISTS reference_node.actions (id text PRIMARY KEY, points int NOT NULL);
    CREATE TABLE IF NOT EXISTS reference_node.score_events (
      id bigserial PRIMARY KEY, user_id text NOT NULL, action_id text NOT NULL, delta int NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX IF NOT EXISTS score_events_of_a_user ON reference_node.score_events (user_id, created_at DESC);`);
}

// Lock the user, compute the points, update the score, write the history.
export async function addScore(userId, points, actionId) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await client.query({
      name: "make-user",
      text: "INSERT INTO reference_node.users (id) VALUES ($1) ON CONFLICT DO NOTHING",
      values: [userId],
    });
    const locked = await client.query({
      name: "lock-user",
      text: "SELECT score FROM reference_node.users WHERE id = $1 FOR UPDATE",
      values: [userId],
    });
    const previousScore = Number(locked.rows[0].score);
    const newScore = previousScore + points;
    await client.query({
      name: "update-user",
      text: "UPDATE reference_node.users SET score = $2, updated_at = now() WHERE id = $1",
      values: [userId, newScore],
    });
    const event = await client.query({
      name: "insert-event",
      text: "INSERT INTO reference_node.score_events (user_id, action_id, delta) VALUES ($1, $2, $3) RETURNING id",
      values: [userId, actionId, points],
    });
    await client.query("COMMIT");
    return { eventId: event.rows[0].id, previousScore, newScore };
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

export async function top(limit) {
  const { rows } = await pool.query({
    name: "top",
    text: "SELECT id, score, updated_at FROM reference_node.users ORDER BY score DESC, updated_at LIMIT $1",
    values: [limit],
  });
  return rows.map((row, index) => ({ rank: index + 1, userId: row.id, displayName: row.id, score: Number(row.score), at: row.updated_at }));
}
