//! Pages as the server sends them: what can be read before any script runs, and what nobody may read there.

use reqwest::{
    Method, Response,
    header::{self, HeaderValue},
};
use serde_json::{Value, json};

use crate::{
    answers::Expect,
    app::{Backend, TestApp, eventually},
};

crate::both_backends!(
    the_first_rows_and_the_latest_scores_stand_in_the_page,
    hostile_names_stay_text,
    the_language_is_the_readers,
    every_language_has_a_page,
    the_script_goes_on_from_what_the_api_answers,
    a_private_leaderboard_names_nothing,
    who_is_hidden_is_in_no_page,
    a_score_that_no_longer_counts_leaves_the_latest_ones,
    an_ended_season_has_a_page,
    a_page_is_sent_again_only_if_it_has_changed,
    an_error_is_told_again,
    every_page_answers_head,
    the_card_shows_who_leads_and_changes_with_it,
    the_root_lists_the_public_leaderboards,
);

pub async fn text(response: Response) -> String {
    response.text().await.unwrap()
}

pub async fn page(app: &TestApp, path: &str) -> String {
    text(app.anonymous(Method::GET, path).responds(200).await).await
}

/// What a script finds in the page.
fn data(html: &str, id: &str) -> Value {
    let (_, rest) = html.split_once(&format!("<script type=\"application/json\" id=\"{id}\">")).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

async fn the_first_rows_and_the_latest_scores_stand_in_the_page(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for number in 1..=25 {
        app.post_value(&format!("u-{number}"), number * 1000).await;
    }
    let html = page(&app, "/boards/main").await;
    assert_eq!(html.matches("<tr role=\"row\" part=\"row\"").count(), 20);
    assert!(html.contains("data-user=\"u-25\" data-rank=\"1\" data-score=\"25000\"") && html.contains(">25,000<"), "{html}");
    assert_eq!(html.matches("<li data-event=").count(), 12);
    assert!(html.contains("<meta property=\"og:description\" content=\"1. u-25 25,000 · 2. u-24 24,000 · 3. u-23 23,000\">"));
    assert_eq!(page(&app, "/boards/main?limit=3").await.matches("part=\"row\"").count(), 3);
    assert_eq!(page(&app, "/").await.matches("part=\"row\"").count(), 20, "the only leaderboard");
    let head = app.anonymous(Method::HEAD, "/boards/main").responds(200).await;
    assert_eq!(head.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let missing = app.anonymous(Method::GET, "/boards/%3Cscript%3E").responds(404).await;
    assert!(!text(missing).await.contains("<script>"));
}

async fn hostile_names_stay_text(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let hostile = "</script><script>alert(1)</script>\"'><img src=x>";
    app.post_value(hostile, 5).await;
    let settings = json!({ "name": hostile, "description": hostile, "unit": "<b>" });
    app.admin(Method::PATCH, "/api/leaderboards/main").json(&settings).answers(200).await;
    for path in ["/boards/main", "/", "/boards/main/embed", "/boards/main/card.svg"] {
        let html = page(&app, path).await;
        assert!(!html.contains("<script>alert") && !html.contains("<img src=x") && !html.contains("<b>"), "{path}: {html}");
    }
    let data = data(&page(&app, "/boards/main").await, "board-data");
    assert_eq!([&data["name"], &data["window"]["entries"][0]["userId"], &data["unit"]], [hostile, hostile, "<b>"]);
}

async fn the_language_is_the_readers(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("ada", 234_567).await;
    let get = |path: &str| app.anonymous(Method::GET, path);
    let german = get("/boards/main").header(header::ACCEPT_LANGUAGE, "de-CH, en;q=0.3").responds(200).await;
    assert_eq!(german.headers().get_all(header::VARY).iter().filter(|vary| *vary == "accept-language").count(), 1);
    let german = text(german).await;
    assert!(german.contains("<html lang=\"de\" dir=\"ltr\">") && german.contains("234.567") && german.contains("Neueste Punkte"));
    let arabic = page(&app, "/boards/main?lang=ar").await;
    assert!(arabic.contains("<html lang=\"ar\" dir=\"rtl\">"));
    assert!(page(&app, "/boards/main?lang=tlh").await.contains("<html lang=\"en\" dir=\"ltr\">"));
}

async fn every_language_has_a_page(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut titles = Vec::new();
    for (code, direction) in
        [("en", "ltr"), ("de", "ltr"), ("fr", "ltr"), ("es", "ltr"), ("pt", "ltr"), ("ja", "ltr"), ("zh", "ltr"), ("ar", "rtl")]
    {
        let html =
            text(app.anonymous(Method::GET, "/boards/main").header(header::ACCEPT_LANGUAGE, code).responds(200).await).await;
        assert!(html.contains(&format!("<html lang=\"{code}\" dir=\"{direction}\">")), "{html}");
        titles.push(data(&html, "texts")["latest"].as_str().unwrap().to_owned());
        assert!(html.contains(&format!("<h2 id=\"feed-title\">{}</h2>", titles.last().unwrap())), "{html}");
    }
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), 8, "{titles:?}");
}

async fn the_script_goes_on_from_what_the_api_answers(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for number in 1..=15 {
        app.post_value(&format!("u-{number}"), number).await;
    }
    let given = data(&page(&app, "/boards/main?limit=5").await, "board-data");
    assert_eq!(given["window"], app.get("/api/leaderboards/main/entries?limit=5").await);
    assert_eq!(given["latest"], app.get("/api/leaderboards/main/scores?limit=12").await);
    assert_eq!(
        [&given["id"], &given["root"], &given["limit"], &given["signIn"]],
        [&json!("main"), &json!("../"), &json!(5), &json!(false)]
    );
}

async fn a_private_leaderboard_names_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for id in ["vault", "safe"] {
        app.make_leaderboard(id, json!({ "visibility": "private", "name": format!("Plans of {id}") })).await;
    }
    app.submit(json!({ "actionId": "vault", "userId": "ada", "value": 5 })).await;
    let vault = text(app.anonymous(Method::GET, "/boards/vault").responds(401).await).await;
    let safe = text(app.anonymous(Method::GET, "/boards/safe?limit=20").responds(401).await).await;
    assert_eq!(vault, safe, "one page for all");
    for path in ["/boards/vault", "/boards/vault/embed", "/boards/vault/overlay", "/boards/vault/card.svg", "/"] {
        let answer = text(app.anonymous(Method::GET, path).send().await.unwrap()).await;
        assert!(!answer.contains("Plans") && !answer.contains("ada"), "{path}: {answer}");
    }
    let private = app.anonymous(Method::GET, "/boards/vault/card.svg").refused(404).await;
    let unknown = app.anonymous(Method::GET, "/boards/nothing/card.svg").refused(404).await;
    for field in ["type", "title", "detail"] {
        assert_eq!(private[field], unknown[field]);
    }
    let frame = |id: &str| app.anonymous(Method::GET, &format!("/boards/{id}/embed")).responds(200);
    assert_eq!(text(frame("vault").await).await.replace("vault", "safe"), text(frame("safe").await).await);
}

async fn who_is_hidden_is_in_no_page(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("cheat", 900).await;
    app.post_value("ada", 5).await;
    assert!(page(&app, "/boards/main").await.contains("cheat"), "until then");
    let hide = json!({ "decisions": [{ "type": "ban", "userId": "cheat", "reason": "test" }] });
    app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions").json(&hide).answers(200).await;
    for path in ["/boards/main", "/", "/boards/main/card.svg", "/boards/main/embed?user=x"] {
        assert!(!page(&app, path).await.contains("cheat"), "{path}");
    }
}

async fn a_score_that_no_longer_counts_leaves_the_latest_ones(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("best", json!({ "operator": "best" })).await;
    let lesser = app.submit(json!({ "actionId": "best", "userId": "ada", "value": 5 })).await;
    let id = lesser["eventId"].as_str().unwrap();
    // Then the ranking stays as it is when the lesser one goes.
    app.submit(json!({ "actionId": "best", "userId": "ada", "value": 9 })).await;
    assert!(page(&app, "/boards/best").await.contains(id));
    let void = json!({ "decisions": [{ "type": "void", "eventIds": [id], "reason": "test" }] });
    app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions").json(&void).answers(200).await;
    eventually("it has gone", || async { !page(&app, "/boards/best").await.contains(id) }).await;
}

async fn an_ended_season_has_a_page(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("ada", 5).await;
    app.admin(Method::POST, "/api/leaderboards/main/seasons").json(&json!({ "ends": 1 })).answers(201).await;
    app.post_value("grace", 7).await;
    for path in ["/boards/main?season=1", "/boards/main?season=previous"] {
        let html = page(&app, path).await;
        assert!(html.contains("data-user=\"ada\"") && !html.contains("grace"), "{path}: {html}");
        assert!(html.contains("og:description\" content=\"Season 1 — 1. ada 5\""), "{path}: {html}");
    }
    assert!(page(&app, "/boards/main").await.contains("data-user=\"grace\""));
    assert!(!page(&app, "/boards/main?season=9").await.contains("part=\"row\""));
}

async fn a_page_is_sent_again_only_if_it_has_changed(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("ada", 5).await;
    for path in ["/boards/main", "/boards/main/card.svg", "/assets/board.js", "/embed/v1/score-board.js"] {
        let tag = app.anonymous(Method::GET, path).responds(200).await.headers()[header::ETAG].clone();
        app.anonymous(Method::GET, path).header(header::IF_NONE_MATCH, tag).responds(304).await;
        app.anonymous(Method::GET, path).header(header::IF_NONE_MATCH, "\"other\"").responds(200).await;
        app.anonymous(Method::GET, path).header(header::IF_NONE_MATCH, "*").responds(304).await;
    }
    let get = |tag: &HeaderValue| app.anonymous(Method::GET, "/boards/main").header(header::IF_NONE_MATCH, tag);
    let tag = get(&HeaderValue::from_static("none")).responds(200).await.headers()[header::ETAG].clone();
    get(&tag).header(header::ACCEPT_LANGUAGE, "de").responds(200).await;
    app.post_value("ada", 1).await;
    let tag = get(&tag).responds(200).await.headers()[header::ETAG].clone();
    app.admin(Method::PUT, "/api/users/ada").json(&json!({ "displayName": "Ada" })).answers(200).await;
    eventually("her name shows", || async { get(&tag).send().await.unwrap().status() == 200 }).await;
}

async fn an_error_is_told_again(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("vault", json!({ "visibility": "private" })).await;
    for (path, status) in [("/boards/none", 404), ("/boards/%FF", 404), ("/boards/vault", 401)] {
        let answer = app.anonymous(Method::GET, path).header(header::IF_NONE_MATCH, "*").responds(status).await;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
        assert!(!answer.headers().contains_key(header::ETAG), "{path}");
    }
}

async fn every_page_answers_head(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_value("ada", 5).await;
    for path in
        ["/", "/boards/main", "/boards/main/embed", "/boards/main/overlay", "/boards/main/card.svg", "/embed/v1/score-board.js"]
    {
        let get = app.anonymous(Method::GET, path).responds(200).await;
        let head = app.anonymous(Method::HEAD, path).responds(200).await;
        for name in [header::CONTENT_TYPE, header::ETAG, header::CONTENT_SECURITY_POLICY, header::CONTENT_LENGTH] {
            assert_eq!(get.headers().get(&name), head.headers().get(&name), "{path}: {name}");
        }
        assert_eq!(text(head).await, "", "{path}");
    }
    app.anonymous(Method::POST, "/boards/main").refused(405).await;
}

async fn the_card_shows_who_leads_and_changes_with_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for number in 1..=7 {
        app.post_value(&format!("u-{number}"), number).await;
    }
    let before = app.anonymous(Method::GET, "/boards/main/card.svg").responds(200).await;
    assert_eq!(before.headers()[header::CONTENT_TYPE], "image/svg+xml");
    let tag = before.headers()[header::ETAG].clone();
    let svg = text(before).await;
    assert!(svg.contains("u-7") && svg.contains("u-3") && !svg.contains("u-2"), "{svg}");
    app.post_value("u-1", 50).await;
    let after = app.anonymous(Method::GET, "/boards/main/card.svg").header(header::IF_NONE_MATCH, &tag).responds(200).await;
    assert_ne!(after.headers()[header::ETAG], tag);
}

async fn the_root_lists_the_public_leaderboards(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({ "name": "Winter <Cup>", "description": "Of snow" })).await;
    app.make_leaderboard("vault", json!({ "visibility": "private" })).await;
    let html = page(&app, "/?lang=fr").await;
    assert!(
        html.contains("href=\"./boards/cup?lang=fr\"") && html.contains("Winter &#60;Cup&#62;") && html.contains("Of snow"),
        "{html}"
    );
    assert!(html.contains("href=\"./boards/main?lang=fr\"") && !html.contains("vault"), "{html}");
    assert!(page(&app, "/?leaderboard=cup").await.contains("id=\"rows\""), "the address of the first release");
}
