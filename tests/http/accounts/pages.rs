//! The pages that links lead to.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::*;
use crate::browser::Browser;

const SOON: Duration = Duration::from_secs(20);

crate::both_backends!(a_link_leads_to_a_page_that_keeps_no_token);

async fn a_link_leads_to_a_page_that_keeps_no_token(backend: Backend) {
    let app = open(backend).await;
    for path in ["/account/reset?token=scbl_secret", "/account/invite?token=scbl_secret"] {
        let page = app.anonymous(Method::GET, path).responds(200).await;
        let headers = page.headers().clone();
        assert_eq!(headers["referrer-policy"], "no-referrer");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
        let text = page.text().await.unwrap();
        assert!(!text.contains("scbl_secret") && text.contains("../assets/account.js"), "{text}");
    }
    let german = app.anonymous(Method::GET, "/account/reset").header("accept-language", "de-AT").responds(200).await;
    assert!(german.text().await.unwrap().contains("<h1>Passwort wählen</h1>"));
    let arabic =
        app.anonymous(Method::GET, "/account/invite?lang=ar&token=scbl_secret").responds(200).await.text().await.unwrap();
    assert!(arabic.contains("dir=\"rtl\"") && arabic.contains("إنشاء حساب") && !arabic.contains("scbl_secret"), "{arabic}");
    let script = app.anonymous(Method::GET, "/assets/account.js").responds(200).await;
    assert!(script.text().await.unwrap().contains("history.replaceState"));
}

/// Fills the form in, as somebody does who types, and sends it.
const FILL_IN: &str = "
    for (const [id, text] of Object.entries(arguments[0])) document.querySelector('#' + id).value = text;
    document.querySelector('form button').click();";

fn tells(text: &str) -> String {
    format!("return document.querySelector('#message').textContent.includes({})", json!(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_uses_a_link_once_and_forgets_it() {
    let app = open(Backend::Embedded).await;
    let ada = sign_up(&app, "ada").await;
    let path = format!("/api/accounts/{}/reset-link", ada["userId"].as_str().unwrap());
    let link = manager(&app, Method::POST, &path).answers(200).await["link"].as_str().unwrap().to_owned();
    let browser = Browser::open().await;
    browser.goto(&app.url(&link)).await;
    browser.wait_until("return location.search === '' && history.length > 0", SOON).await;
    let fill = |password: &str, again: &str| json!([{"password": password, "again": again}]);
    browser.execute(FILL_IN, fill("a browser's password", "another one, by mistake")).await;
    browser.wait_until(&tells("differ"), SOON).await;
    browser.execute(FILL_IN, fill("1234567890", "1234567890")).await;
    browser.wait_until(&tells("commonest"), SOON).await;
    browser.execute(FILL_IN, fill("a browser's password", "a browser's password")).await;
    browser.wait_until(&tells("is set"), SOON).await;
    sign_in(&app, "ada", "a browser's password").answers(200).await;
    browser.goto(&app.url(&link)).await;
    browser.execute(FILL_IN, fill("another good password", "another good password")).await;
    browser.wait_until(&tells("used before"), SOON).await;

    let invite = manager(&app, Method::POST, "/api/accounts/invites").json(&json!({"login": "mo"})).answers(201).await;
    browser.goto(&app.url(invite["link"].as_str().unwrap())).await;
    browser.wait_until("return document.querySelector('#login') !== null && location.search === ''", SOON).await;
    let body = json!([{"login": "Mo", "password": "a browser's password", "again": "a browser's password"}]);
    browser.execute(FILL_IN, body).await;
    browser.wait_until(&tells("is made"), SOON).await;
    sign_in(&app, "mo", "a browser's password").answers(200).await;
    let complaints: Vec<_> =
        browser.console().await.into_iter().filter(|line| line.contains("Content Security Policy")).collect();
    assert_eq!(complaints, Vec::<String>::new());
}
