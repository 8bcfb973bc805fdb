//! The live page as people meet it: a real browser in front of a real server.
//!
//! Needs `crate::app::TestApp` with an embedded server that has the public board `main`, summing
//! the actions `goal` (10 points) and `point` (1 point), with no score yet; `restart` comes back on
//! the same port with the same data.

mod addresses;
mod framed;
mod seasons;
mod served;

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually},
    browser::Browser,
    proxies::Proxy,
};

/// For what takes the page one message.
const SOON: Duration = Duration::from_secs(20);
/// For what takes the page a reconnect with its jittered pauses.
const EVENTUALLY: Duration = Duration::from_secs(45);

const LIVE: &str = "return document.body.dataset.connection === 'live'";

async fn open_page(app: &TestApp) -> Browser {
    let browser = Browser::open().await;
    browser.goto(&app.url("/")).await;
    browser.wait_until(LIVE, SOON).await;
    browser
}

/// A condition: the table shows exactly these users with these scores, best first, and says so in
/// each row's rank.
fn table_is(rows: &[(&str, i64)]) -> String {
    let rows: Vec<_> =
        rows.iter().enumerate().map(|(index, (user, score))| json!([user, (index + 1).to_string(), score.to_string()])).collect();
    format!(
        "const rows = [...document.querySelectorAll('tr[data-user]')].map((row) =>
           [row.dataset.user, row.dataset.rank, row.querySelector('.sb-score').textContent]);
         return JSON.stringify(rows) === JSON.stringify({});",
        json!(rows)
    )
}

/// A condition: the latest scores are these, newest first.
fn latest_are(scores: &[&str]) -> String {
    format!(
        "const told = [...document.querySelectorAll('#feed li')].map((line) =>
           line.querySelector('.name').textContent + ' ' + line.querySelector('.gain').textContent);
         return JSON.stringify(told) === JSON.stringify({});",
        json!(scores)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_appear_and_move_to_their_new_place_as_scores_are_posted() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let browser = open_page(&app).await;

    app.post_score("ada", "goal").await;
    app.post_score("grace", "point").await;
    browser.wait_until(&table_is(&[("ada", 10), ("grace", 1)]), SOON).await;

    app.post_score("grace", "goal").await;
    browser.wait_until(&table_is(&[("grace", 11), ("ada", 10)]), SOON).await;
    let arrow = "return document.querySelector('tr[data-user=grace] .sb-change span')?.ariaLabel === 'up 1'";
    browser.wait_until(arrow, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_scores_are_told_newest_first() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let browser = open_page(&app).await;

    app.post_score("ada", "goal").await;
    app.post_score("grace", "point").await;
    browser.wait_until(&latest_are(&["grace +1", "ada +10"]), SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_leaderboard_shows_how_to_post_the_first_score() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let browser = open_page(&app).await;

    let command = "const empty = document.querySelector('#empty');
        const command = document.querySelector('#command').textContent;
        return !empty.hidden && command.includes(location.origin + '/api/scores')
          && command.includes('\"actionId\"');";
    browser.wait_until(command, SOON).await;

    app.post_score("ada", "goal").await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    browser.wait_until("return document.querySelector('#empty').hidden", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_user_id_is_shown_as_text() {
    let hostile = [
        "<script>window.caught = true</script>",
        "<img src=x onerror=\"window.caught = true\">",
        "\u{202e}reversed",
        "__proto__",
    ];
    let app = TestApp::spawn(Backend::Embedded).await;
    let browser = open_page(&app).await;

    let mut expected = Vec::new();
    for user in hostile {
        app.post_score(user, "goal").await;
        expected.push((user, 10));
    }
    browser.wait_until(&table_is(&expected), SOON).await;
    let told = "return document.querySelectorAll('#feed li').length === arguments.length";
    let told = told.replace("arguments.length", &hostile.len().to_string());
    browser.wait_until(&told, SOON).await;

    let found = browser
        .execute(
            "const names = [...document.querySelectorAll('#rows .sb-name bdi')];
             return {
               shown: names.map((name) => name.textContent),
               isolated: names.every((name) => name.matches('bdi[dir=auto]')),
               markup: document.querySelectorAll('main script, main img').length,
               ran: 'caught' in window,
             };",
            json!([]),
        )
        .await;
    let expected = json!({"shown": hostile, "isolated": true, "markup": 0, "ran": false});
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_reconnects_after_a_restart_and_shows_the_newest_state() {
    let mut app = TestApp::spawn(Backend::Embedded).await;
    let browser = open_page(&app).await;
    app.post_score("ada", "goal").await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    let watch = "window.states = [];
        new MutationObserver(() => states.push(document.body.dataset.connection))
          .observe(document.body, { attributeFilter: ['data-connection'] });";
    browser.execute(watch, json!([])).await;

    app.restart().await;
    app.post_score("grace", "goal").await;
    app.post_score("grace", "point").await;

    browser.wait_until(&table_is(&[("grace", 11), ("ada", 10)]), EVENTUALLY).await;
    browser.wait_until(LIVE, SOON).await;
    let states = browser.execute("return window.states", json!([])).await;
    assert_eq!(states[0], json!("reconnecting"), "told at once, and nothing reloaded: {states}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_keeps_its_own_security_policy_and_logs_no_error() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let browser = open_page(&app).await;
    app.post_score("ada", "goal").await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    browser.wait_until("return document.querySelector('#feed li')", SOON).await;
    assert_eq!(browser.console().await, Vec::<String>::new());

    let inline = "const script = document.createElement('script');
        script.textContent = 'window.caught = true';
        document.head.append(script);
        return 'caught' in window;";
    assert_eq!(browser.execute(inline, json!([])).await, json!(false));
    let console = browser.console().await.join("\n");
    assert!(console.contains("Content Security Policy"), "the policy is enforced: {console}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_below_a_path_that_a_proxy_strips() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let proxy = Proxy::nginx_below_boards(&app).await;
    app.make_leaderboard("cup", json!({ "name": "Cup" })).await;
    app.submit(json!({ "actionId": "cup", "userId": "ada", "value": 5 })).await;
    let browser = Browser::open().await;
    browser.goto(&proxy.url("/boards/?leaderboard=cup")).await;
    browser.wait_until(LIVE, SOON).await;
    app.submit(json!({ "actionId": "cup", "userId": "grace", "value": 7 })).await;
    browser.wait_until(&table_is(&[("grace", 7), ("ada", 5)]), SOON).await;
    browser.wait_until("return document.querySelector('#feed li')", SOON).await;
    browser.wait_until("return document.title === 'Cup · Scoreboard'", SOON).await;
    let addresses = "return [...document.querySelectorAll('a, img')].map((found) => new URL(found.href ?? found.src).pathname)";
    for address in browser.execute(addresses, json!([])).await.as_array().unwrap() {
        let address = address.as_str().unwrap();
        assert!(address.starts_with("/boards/"), "{address}");
    }
    assert_eq!(browser.console().await, Vec::<String>::new(), "nothing was looked for elsewhere");

    // The other leaderboard is reached by its link, and is empty: what fills it is addressed as this browser would have to.
    browser.execute("document.querySelector('#boards a[data-leaderboard=main]').click()", json!([])).await;
    let command =
        format!("return document.querySelector('#command')?.textContent.includes('{}')", proxy.url("/boards/api/scores"));
    browser.wait_until(&command, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_below_a_stripped_path_without_its_slash() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let proxy = Proxy::nginx_below_boards(&app).await;
    app.post_score("ada", "goal").await;
    let browser = Browser::open().await;
    browser.goto(&proxy.url("/boards?leaderboard=main&limit=3#x=1")).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    let address = browser.execute("return location.href", json!([])).await;
    assert_eq!(address, json!(proxy.url("/boards/?leaderboard=main&limit=3#x=1")));
}

/// A condition: the page shows this state of its connection and a notice with these words.
fn says(state: &str, words: &str) -> String {
    format!(
        "return document.body.dataset.connection === '{state}' && !document.querySelector('#notice').hidden
           && document.querySelector('#notice').textContent.includes('{words}')"
    )
}

/// Nobody watches, and nothing makes the page open a stream again.
async fn stays_away(app: &TestApp, browser: &Browser, board: &str) {
    let made = "window.made = 0;
        const send = window.fetch;
        window.fetch = (...given) => { window.made += String(given[0]).includes('/stream'); return send(...given); };
        dispatchEvent(new Event('online'));
        document.dispatchEvent(new Event('visibilitychange'));
        return window.made";
    assert_eq!(browser.execute(made, json!([])).await, json!(0));
    let path = format!("/api/leaderboards/{board}");
    eventually("nobody watches", || async { app.admin(Method::GET, &path).answers(200).await["watchers"] == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_leaderboard_becomes_private_says_so_and_stays_away() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.post_score("ada", "goal").await;
    let browser = open_page(&app).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({ "visibility": "private" })).answers(200).await;
    browser.wait_until(&says("refused", "is private"), SOON).await;
    browser.wait_until(&table_is(&[]), SOON).await;
    stays_away(&app, &browser, "main").await;

    // Another token in the address is a reason to try again.
    let token = app.token("reader", "leaderboards:read");
    browser.execute("location.hash = `access_token=${arguments[0]}`", json!([token])).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    browser.wait_until(LIVE, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_token_ends_says_so_and_stays_away() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.make_leaderboard("secret", json!({ "visibility": "private" })).await;
    app.submit(json!({ "actionId": "secret", "userId": "ada", "value": 5 })).await;
    let browser = Browser::open().await;
    let token = app.token_for("reader", "leaderboards:read", 2);
    browser.goto(&app.url(&format!("/?leaderboard=secret#access_token={token}"))).await;
    browser.wait_until(&table_is(&[("ada", 5)]), SOON).await;
    browser.wait_until(&says("refused", "has expired"), EVENTUALLY).await;
    stays_away(&app, &browser, "secret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_leaderboard_is_deleted_says_so_and_stays_away() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.make_leaderboard("cup", json!({})).await;
    app.submit(json!({ "actionId": "cup", "userId": "ada", "value": 5 })).await;
    let browser = Browser::open().await;
    browser.goto(&app.url("/?leaderboard=cup")).await;
    browser.wait_until(&table_is(&[("ada", 5)]), SOON).await;
    // The table is there before the stream is, and a stream that finds no leaderboard knows of none.
    browser.wait_until(LIVE, SOON).await;
    app.admin(Method::DELETE, "/api/leaderboards/cup").responds(204).await;
    browser.wait_until(&says("deleted", "has been deleted"), SOON).await;
    browser.wait_until(&table_is(&[]), SOON).await;
    app.admin(Method::POST, "/api/leaderboards").json(&json!({ "id": "cup" })).answers(201).await;
    stays_away(&app, &browser, "cup").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_scores_are_there_when_the_page_opens() {
    for backend in [Backend::Embedded, Backend::Shared] {
        let mut app = TestApp::spawn(backend).await;
        app.post_score("ada", "goal").await;
        app.post_score("grace", "point").await;
        let browser = open_page(&app).await;
        browser.wait_until(&latest_are(&["grace +1", "ada +10"]), SOON).await;
        let story = "return document.querySelector('#feed li .story').textContent === 'point · new, #2'";
        browser.wait_until(story, SOON).await;
        app.post_score("ada", "point").await;
        browser.wait_until(&latest_are(&["ada +1", "grace +1", "ada +10"]), SOON).await;

        // What came while nobody watched is there as well, and nothing is there twice.
        app.stop().await;
        app.restart().await;
        app.post_score("joan", "goal").await;
        browser.wait_until(&latest_are(&["joan +10", "ada +1", "grace +1", "ada +10"]), EVENTUALLY).await;
        browser.goto(&app.url("/")).await;
        browser.wait_until(&latest_are(&["joan +10", "ada +1", "grace +1", "ada +10"]), SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_shows_in_the_table_and_among_the_latest_scores() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.post_score("ada", "goal").await;
    let browser = open_page(&app).await;
    browser.wait_until(&latest_are(&["ada +10"]), SOON).await;
    let profile = json!({ "displayName": "Ada <b>L.</b>" });
    app.admin(Method::PUT, "/api/users/ada").json(&profile).answers(200).await;
    browser.wait_until(&latest_are(&["Ada <b>L.</b> +10"]), SOON).await;
    let named = "return document.querySelector('tr[data-user=ada] .sb-name bdi').textContent === 'Ada <b>L.</b>'";
    browser.wait_until(named, SOON).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
}
