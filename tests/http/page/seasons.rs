//! The seasons of a leaderboard on its page: the current one and its end, the turn to the next one, and the archive.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{EVENTUALLY, LIVE, SOON, latest_are, open_page, table_is};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    browser::Browser,
    proxies::Proxy,
};

/// A condition: this is shown, and its text is exactly this.
fn shows(selector: &str, text: &str) -> String {
    format!(
        "const found = document.querySelector('{selector}');
         return found.checkVisibility() && found.textContent === {}",
        json!(text)
    )
}

/// A condition: these seasons can be chosen, in this order, and this one is.
fn choice_is(seasons: &[&str], chosen: &str) -> String {
    format!(
        "const choice = document.querySelector('#seasons');
         const told = [...choice.options].map((option) => option.textContent.replace(/[\\u2068\\u2069]/g, ''));
         return choice.checkVisibility() && choice.value === '{chosen}' && JSON.stringify(told) === JSON.stringify({});",
        json!(seasons)
    )
}

async fn choose(browser: &Browser, season: &str) {
    let choose = "const choice = document.querySelector('#seasons');
        choice.value = arguments[0];
        choice.dispatchEvent(new Event('change'))";
    browser.execute(choose, json!([season])).await;
}

async fn address(browser: &Browser) -> Value {
    browser.execute("return location.href", json!([])).await
}

impl TestApp {
    async fn end_season(&self, season: i64, next: Option<&str>) {
        let body = json!({ "ends": season, "name": next });
        self.admin(Method::POST, "/api/leaderboards/main/seasons").json(&body).answers(201).await;
    }

    async fn name_season(&self, season: i64, name: &str) {
        let path = format!("/api/leaderboards/main/seasons/{season}");
        self.admin(Method::PATCH, &path).json(&json!({ "name": name })).answers(200).await;
    }

    /// The season of `main` ends so soon.
    async fn schedule_end(&self, within: Duration) {
        let end = (chrono::Utc::now() + within).to_rfc3339();
        let body = json!({ "resetSchedule": { "dates": [end] } });
        self.admin(Method::PATCH, "/api/leaderboards/main").json(&body).answers(200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_season_is_shown_with_the_time_until_its_end() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.name_season(1, "Winter").await;
    let browser = open_page(&app).await;
    browser.wait_until(&shows("#season", "1 · Winter"), SOON).await;
    browser.wait_until("return document.querySelector('#ends').hidden", SOON).await;

    app.schedule_end(Duration::from_secs(2 * 86_400 + 3 * 3600 + 30)).await;
    browser.wait_until(&shows("#ends", "Ends in2 days 3 hr"), SOON).await;
    app.schedule_end(Duration::from_secs(150)).await;
    let ticks = "const told = document.querySelector('#countdown').textContent;
        if (!/^[12]:[0-5][0-9]$/.test(told)) return false;
        window.first ??= told;
        return told < window.first";
    browser.wait_until(ticks, SOON).await;
    let quiet = "const timer = document.querySelector('#countdown');
        return timer.getAttribute('role') === 'timer' && !timer.closest('[aria-live], [role=status], [role=alert]')";
    assert_eq!(browser.execute(quiet, json!([])).await, json!(true), "a timer is not read out at every tick");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_with_the_next_season_and_offers_the_result() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.post_score("ada", "goal").await;
    app.post_score("grace", "point").await;
    let browser = open_page(&app).await;
    browser.wait_until(&latest_are(&["grace +1", "ada +10"]), SOON).await;
    browser.wait_until(&table_is(&[("ada", 10), ("grace", 1)]), SOON).await;
    browser.execute("window.kept = true", json!([])).await;

    let hostile = "<img src=x onerror=\"window.caught = true\">\u{202e}evil";
    app.end_season(1, Some(hostile)).await;
    let offer = "Season 1 has ended. ada won with 10 points. See the result";
    browser.wait_until(&shows("#result", offer), SOON).await;
    browser.wait_until(&table_is(&[]), SOON).await;
    browser.wait_until(&latest_are(&[]), SOON).await;
    browser.wait_until(&shows("#empty-title", "Nobody has scored in this season yet"), SOON).await;
    let options = "return document.querySelector('#seasons').selectedOptions[0].textContent";
    let tame = format!("2 · \u{2068}{}\u{2069} (live)", hostile.replace('\u{202e}', ""));
    assert_eq!(browser.execute(options, json!([])).await, json!(tame));

    // Nothing of the new season is missed, and the result stays on offer until it has been looked at.
    app.post_score("grace", "goal").await;
    browser.wait_until(&table_is(&[("grace", 10)]), SOON).await;
    browser.wait_until(&latest_are(&["grace +10"]), SOON).await;
    browser.wait_until(&shows("#result", offer), SOON).await;
    let moves = "return document.querySelector('#rows .sb-change').textContent";
    assert_eq!(browser.execute(moves, json!([])).await, json!(""), "nobody moves from one season to the next");

    browser.execute("document.querySelector('#see').click()", json!([])).await;
    browser.wait_until(&table_is(&[("ada", 10), ("grace", 1)]), SOON).await;
    assert_eq!(address(&browser).await, json!(app.url("/?season=1")));
    browser.execute("document.querySelector('#back').click()", json!([])).await;
    browser.wait_until(&table_is(&[("grace", 10)]), SOON).await;
    browser.wait_until("return document.querySelector('#result').hidden", SOON).await;
    let found =
        browser.execute("return [window.kept, 'caught' in window, document.querySelectorAll('main img').length]", json!([]));
    assert_eq!(found.await, json!([true, false, 0]));
    assert_eq!(browser.console().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_season_is_chosen_and_left_again() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.name_season(1, "Spring").await;
    app.post_score("ada", "goal").await;
    app.end_season(1, Some("Summer")).await;
    app.post_score("grace", "point").await;
    app.end_season(2, Some("Autumn")).await;
    app.post_score("joan", "goal").await;
    let browser = open_page(&app).await;
    let seasons = ["3 · Autumn (live)", "2 · Summer", "1 · Spring"];
    browser.wait_until(&choice_is(&seasons, "3"), SOON).await;

    choose(&browser, "1").await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    browser.wait_until(&choice_is(&seasons, "1"), SOON).await;
    let marked = "const past = document.querySelector('#past');
        return past.checkVisibility() && past.textContent.startsWith('Season 1 (Spring): final result. ')
          && past.textContent.includes(new Date().getFullYear())
          && document.title.startsWith('Season 1 · ')
          && !document.querySelector('.feed').checkVisibility()";
    browser.wait_until(marked, SOON).await;
    choose(&browser, "2").await;
    browser.wait_until(&table_is(&[("grace", 1)]), SOON).await;
    assert_eq!(address(&browser).await, json!(app.url("/?season=2")));

    // What is shown of the past stays, whatever happens, and the way back leads to what has happened.
    app.post_score("ada", "point").await;
    browser.execute("history.back()", json!([])).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    choose(&browser, "3").await;
    browser.wait_until(&table_is(&[("joan", 10), ("ada", 1)]), SOON).await;
    assert_eq!(address(&browser).await, json!(app.url("/")));
    browser.execute("history.back()", json!([])).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    assert_eq!(browser.console().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_names_a_season_below_any_path() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let proxy = Proxy::nginx_below_boards(&app).await;
    app.post_score("ada", "goal").await;
    app.end_season(1, None).await;
    app.post_score("grace", "point").await;
    let browser = Browser::open().await;
    browser.goto(&proxy.url("/boards/?leaderboard=main&season=1")).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    browser.wait_until(LIVE, SOON).await;
    app.post_score("joan", "goal").await;
    browser.goto(address(&browser).await.as_str().unwrap()).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    browser.execute("document.querySelector('#back').click()", json!([])).await;
    browser.wait_until(&table_is(&[("joan", 10), ("grace", 1)]), SOON).await;
    assert_eq!(address(&browser).await, json!(proxy.url("/boards/?leaderboard=main")));
    assert_eq!(browser.console().await, Vec::<String>::new());

    // That of the season that goes on leads to the live page, and there are others that lead nowhere.
    browser.goto(&proxy.url("/boards/?season=2")).await;
    browser.wait_until(&table_is(&[("joan", 10), ("grace", 1)]), SOON).await;
    assert_eq!(address(&browser).await, json!(proxy.url("/boards/")));
    browser.goto(&proxy.url("/boards/?season=99")).await;
    browser.wait_until(&shows("#past", "There is no season 99. Back to the live season"), SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_season_that_ends_while_the_server_is_away_is_noticed() {
    let mut app = TestApp::spawn(Backend::Embedded).await;
    app.post_score("ada", "goal").await;
    let browser = open_page(&app).await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
    app.schedule_end(Duration::from_secs(10)).await;
    browser.wait_until("return document.querySelector('#ends').checkVisibility()", SOON).await;
    app.stop().await;
    browser.wait_until(&shows("#countdown", "0:00"), SOON).await;
    app.restart().await;
    app.post_score("grace", "point").await;
    browser.wait_until(&table_is(&[("grace", 1)]), EVENTUALLY).await;
    browser.wait_until("return document.querySelector('#result').checkVisibility()", SOON).await;
    let told = browser.execute("return document.querySelector('#result').textContent", json!([])).await;
    assert!(told.as_str().unwrap().starts_with("Season 1 has ended."), "{told}");
    browser.wait_until(&latest_are(&["grace +1"]), EVENTUALLY).await;
    browser.wait_until("return document.querySelector('#ends').hidden", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_seasons_are_listed_on_demand() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.post_score("ada", "goal").await;
    for season in 1..=51 {
        app.end_season(season, None).await;
    }
    let browser = open_page(&app).await;
    let listed = |count: u32| format!("return document.querySelectorAll('#seasons option').length === {count}");
    // Fifty, and the choice that brings more.
    browser.wait_until(&listed(51), SOON).await;
    choose(&browser, "earlier").await;
    browser.wait_until(&listed(52), SOON).await;
    browser.wait_until("return document.querySelector('#seasons').value === '52'", SOON).await;
    choose(&browser, "1").await;
    browser.wait_until(&table_is(&[("ada", 10)]), SOON).await;
}
