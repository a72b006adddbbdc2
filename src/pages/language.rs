//! What our pages say, in each language. A language that lacks a sentence does not compile.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use crate::wire::headers::list_items;

macro_rules! words {
    ($($name:ident: $english:literal, $german:literal;)*) => {
        /// Every sentence of the pages. `{}` stands for a value.
        pub(super) struct Words { $(pub(super) $name: &'static str,)* }

        const ENGLISH: Words = Words { $($name: $english,)* };
        const GERMAN: Words = Words { $($name: $german,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $german),)*];
    };
}

words! {
    lang: "en", "de";
    nav_login: "Log in", "Anmelden";
    nav_logout: "Log out", "Abmelden";
    nav: "Pages of this gate", "Seiten dieses Tors";

    login_title: "Log in", "Anmelden";
    login_button: "Log in", "Anmelden";
    name: "Account name", "Kontoname";
    password: "Password", "Passwort";
    remember: "Keep me logged in", "Angemeldet bleiben";
    login_wrong: "The name or the password is wrong.", "Der Name oder das Passwort ist falsch.";
    login_busy: "Too many people are logging in at this moment. Try again in a few seconds.",
        "Gerade melden sich zu viele auf einmal an. Versuchen Sie es in ein paar Sekunden wieder.";
    login_too_often: "Too many wrong tries for this account. Wait {} minutes; where you were logged in before, in another browser or network, you need not wait.",
        "Zu viele falsche Versuche für dieses Konto. Warten Sie {} Minuten; wo Sie schon einmal angemeldet waren, in einem anderen Browser oder Netz, brauchen Sie nicht zu warten.";
    login_cookie: "Your browser did not send back the cookie that belongs to this form. Allow cookies for this address and try again.",
        "Ihr Browser hat das Cookie, das zu diesem Formular gehört, nicht zurückgeschickt. Erlauben Sie Cookies für diese Adresse und versuchen Sie es noch einmal.";
    login_again: "Type your password again to go on.", "Geben Sie Ihr Passwort noch einmal ein, um weiterzumachen.";
    logged_out: "You are logged out.", "Sie sind abgemeldet.";
    no_owner: "This gate has no owner yet. Open the link that the server printed when it started; “sidegate setup-link” prints a new one.",
        "Dieses Tor hat noch keinen Eigentümer. Öffnen Sie den Link, den der Server beim Start ausgegeben hat; „sidegate setup-link“ gibt einen neuen aus.";
    here_as: "You are logged in as {}.", "Sie sind als {} angemeldet.";
    network_as: "Your network lets you in as {}.", "Ihr Netz lässt Sie als {} ein.";
    go_on: "Go on", "Weiter";
    not_now: "Not now", "Jetzt nicht";
    foreign: "This form was not sent from a page of this gate, so nothing was done. Try again here.",
        "Dieses Formular kam nicht von einer Seite dieses Tors, darum ist nichts geschehen. Versuchen Sie es hier noch einmal.";
    fault: "Something of ours is broken, and nothing was done. Try again; if it stays so, give this number to whoever runs this server: {}",
        "Bei uns ist etwas kaputt, und nichts ist geschehen. Versuchen Sie es noch einmal; wenn es so bleibt, nennen Sie dem Betreiber diese Nummer: {}";

    setup_title: "Become the owner", "Eigentümer werden";
    setup_lead: "Nobody has an account here yet. Yours is the owner’s: it may do everything.",
        "Hier hat noch niemand ein Konto. Ihres ist das des Eigentümers: Es darf alles.";
    name_hint: "Small letters, digits and . _ @ + - only. The applications behind this gate see it.",
        "Nur Kleinbuchstaben, Ziffern und . _ @ + -. Die Anwendungen hinter diesem Tor sehen ihn.";
    display_name: "Your name for others (optional)", "Ihr Name für andere (freiwillig)";
    new_password: "New password", "Neues Passwort";
    password_hint: "At least {} characters. A short sentence is good.",
        "Mindestens {} Zeichen. Ein kurzer Satz ist gut.";
    password_again: "The same password again", "Dasselbe Passwort noch einmal";
    setup_button: "Make the account", "Konto anlegen";
    recover_title: "Set a new password", "Neues Passwort setzen";
    recover_lead: "For the account {}. Browsers that are logged in with it will be logged out; API tokens go on working.",
        "Für das Konto {}. Angemeldete Browser werden abgemeldet; API-Token gelten weiter.";
    recover_button: "Set the password", "Passwort setzen";
    link_dead_title: "This link does not work", "Dieser Link gilt nicht";
    link_dead: "It was used already, is older than a day, or a newer one took its place. Whoever runs this server prints a new one with “sidegate setup-link”, or with “sidegate user recover NAME” for somebody who is locked out.",
        "Er wurde schon benutzt, ist älter als ein Tag, oder ein neuerer hat ihn ersetzt. Der Betreiber gibt mit „sidegate setup-link“ einen neuen aus, oder mit „sidegate user recover NAME“ einen für jemanden, der nicht mehr hineinkommt.";

    passwords_differ: "The two new passwords are not the same.", "Die beiden neuen Passwörter sind verschieden.";
    password_short: "The password is too short: it needs at least {} characters.",
        "Das Passwort ist zu kurz: Es braucht mindestens {} Zeichen.";
    password_long: "The password is too long: 1024 bytes are the most.", "Das Passwort ist zu lang: Höchstens 1024 Bytes.";
    password_bad: "That password is one that everybody tries first, or the account’s own name. Choose another.",
        "Dieses Passwort probiert jeder zuerst, oder es ist der Name des Kontos. Wählen Sie ein anderes.";
    name_bad: "That account name cannot be. Write 1 to 64 small letters, digits and . _ @ + -, with a letter or digit first.",
        "Dieser Kontoname geht nicht. Schreiben Sie 1 bis 64 Kleinbuchstaben, Ziffern und . _ @ + -, zuerst einen Buchstaben oder eine Ziffer.";
    display_name_bad: "That name cannot be: it is too long, or has characters that nobody can see.",
        "Dieser Name geht nicht: Er ist zu lang, oder er enthält unsichtbare Zeichen.";
    password_wrong: "The password you have now was not typed right.", "Das jetzige Passwort war nicht richtig.";

    start_title: "Hello, {}", "Hallo, {}";
    start_lead: "What you may open here:", "Das dürfen Sie hier öffnen:";
    start_nothing: "There is nothing here that you may open. Ask whoever runs this server.",
        "Hier gibt es nichts, was Sie öffnen dürfen. Fragen Sie den Betreiber.";

    logout_title: "Log out?", "Abmelden?";
    logout_button: "Log out", "Abmelden";

    profile_title: "Your profile", "Ihr Profil";
    account: "Account", "Konto";
    role: "Role", "Rolle";
    groups: "Groups", "Gruppen";
    role_owner: "owner", "Eigentümer";
    role_admin: "administrator", "Verwalter";
    role_user: "user", "Benutzer";
    role_read_only: "may only read", "darf nur lesen";
    save: "Save", "Speichern";
    name_saved: "Your name is saved.", "Ihr Name ist gespeichert.";
    current_password: "The password you have now", "Das jetzige Passwort";
    change_password: "Change the password", "Passwort ändern";
    password_changed: "Your password is changed, and every other browser is logged out. API tokens go on working.",
        "Ihr Passwort ist geändert, und jeder andere Browser ist abgemeldet. API-Token gelten weiter.";

    sessions: "Where you are logged in", "Wo Sie angemeldet sind";
    this_browser: "This browser", "Dieser Browser";
    other_browser: "Unknown browser", "Unbekannter Browser";
    logged_in_at: "Logged in", "Angemeldet";
    last_seen: "Last seen", "Zuletzt gesehen";
    ends_at: "Ends", "Endet";
    end_one: "Log out there", "Dort abmelden";
    end_others: "Log out everywhere else", "Überall sonst abmelden";
    session_ended: "Logged out.", "Abgemeldet.";

    tokens: "API tokens", "API-Token";
    tokens_lead: "For scripts, apps and devices. A token may do what you may do.",
        "Für Skripte, Apps und Geräte. Ein Token darf, was Sie dürfen.";
    no_tokens: "You have none.", "Sie haben keine.";
    expires_at: "Works until", "Gilt bis";
    never: "for ever", "für immer";
    last_used: "Last used", "Zuletzt benutzt";
    not_used: "not yet", "noch nicht";
    scope: "Rights", "Rechte";
    networks: "Networks", "Netze";
    state_active: "works", "gilt";
    state_overlap: "replaced, works until it ends", "ersetzt, gilt bis zum Ende";
    state_expired: "has ended", "ist abgelaufen";
    new_token: "Make a token", "Token erstellen";
    token_name: "Name", "Name";
    token_name_hint: "Letters and digits, for example: phone", "Buchstaben und Ziffern, zum Beispiel: handy";
    token_expires: "Works for", "Gilt";
    days_30: "30 days", "30 Tage";
    days_90: "90 days", "90 Tage";
    year: "a year", "ein Jahr";
    token_more: "Narrow what it may do", "Einschränken, was es darf";
    token_scope: "Only these rights", "Nur diese Rechte";
    token_scope_hint: "For example: read-only. Empty: all of yours.", "Zum Beispiel: read-only. Leer: alle Ihre.";
    token_networks: "Only from these networks", "Nur aus diesen Netzen";
    token_networks_hint: "For example: 192.168.1.0/24, with commas in between. Empty: from anywhere.",
        "Zum Beispiel: 192.168.1.0/24, mit Kommas dazwischen. Leer: von überall.";
    create: "Make it", "Erstellen";
    rotate: "Replace", "Ersetzen";
    rotate_hint: "The old one goes on working for", "Das alte gilt noch";
    at_once: "no time", "keinen Moment";
    hour: "an hour", "eine Stunde";
    day: "a day", "einen Tag";
    revoke: "Revoke", "Widerrufen";
    revoke_hint: "Whatever uses it is locked out at once.", "Was es benutzt, ist sofort ausgesperrt.";
    token_revoked: "The token is revoked.", "Das Token ist widerrufen.";
    need_recent: "To make or replace tokens, show once more that it is you.",
        "Um Token zu erstellen oder zu ersetzen, zeigen Sie noch einmal, dass Sie es sind.";
    need_recent_link: "Log in again", "Noch einmal anmelden";
    minted_title: "Your new token", "Ihr neues Token";
    minted_lead: "Copy it now: nobody will ever see it again.", "Kopieren Sie es jetzt: Niemand wird es je wieder sehen.";
    minted_use: "To try it, in a terminal:", "Zum Ausprobieren, in einem Terminal:";
    minted_back: "Back to your profile", "Zurück zum Profil";
    token_exists: "You have a token of that name already. Choose another name, or revoke that one first.",
        "Ein Token dieses Namens haben Sie schon. Wählen Sie einen anderen, oder widerrufen Sie das alte zuerst.";
    token_name_bad: "That name cannot be: 1 to 64 letters and digits, because it is a part of the token.",
        "Dieser Name geht nicht: 1 bis 64 Buchstaben und Ziffern, weil er ein Teil des Tokens ist.";
    scope_bad: "Those rights cannot be: write words with spaces in between.",
        "Diese Rechte gehen nicht: Schreiben Sie Wörter mit Leerzeichen dazwischen.";
    scope_unknown: "There is no right “{}” here. Write read-only, user or admin, or what whoever runs this server calls them.",
        "Ein Recht „{}“ gibt es hier nicht. Schreiben Sie read-only, user oder admin, oder wie der Betreiber sie nennt.";
    networks_bad: "Those networks cannot be read. Write for example: 192.168.1.0/24, 10.0.0.7",
        "Diese Netze sind nicht lesbar. Schreiben Sie zum Beispiel: 192.168.1.0/24, 10.0.0.7";
    gone: "That is not there any more.", "Das gibt es nicht mehr.";

    factor_title: "Second factor", "Zweiter Faktor";
    factor_lead: "You are logging in as {}. Type the code that your authenticator app shows now, or one of your backup codes.",
        "Sie melden sich als {} an. Geben Sie den Code ein, den Ihre Authentifizierungs-App jetzt zeigt, oder einen Ihrer Ersatzcodes.";
    factor_missing: "What you want to open asks for a second factor, and your account has none. Set one up, and go on from there.",
        "Was Sie öffnen möchten, verlangt einen zweiten Faktor, und Ihr Konto hat keinen. Richten Sie einen ein; danach geht es weiter.";
    code: "Code", "Code";
    code_hint: "Six digits, or a backup code with its twelve letters and digits.",
        "Sechs Ziffern, oder ein Ersatzcode mit seinen zwölf Buchstaben und Ziffern.";
    code_wrong: "That code is wrong.", "Dieser Code ist falsch.";
    code_used: "That code was used already. Wait for the next one.", "Dieser Code wurde schon benutzt. Warten Sie auf den nächsten.";
    code_old: "That code was right {} minutes ago. The clock of your phone is slow, or that of this server is fast: set both by the network.",
        "Dieser Code galt vor {} Minuten. Die Uhr Ihres Telefons geht nach, oder die des Servers vor: Stellen Sie beide nach dem Netz.";
    code_early: "That code will be right in {} minutes. The clock of your phone is fast, or that of this server is slow: set both by the network.",
        "Dieser Code gilt erst in {} Minuten. Die Uhr Ihres Telefons geht vor, oder die des Servers nach: Stellen Sie beide nach dem Netz.";
    remember_device: "Do not ask for a code in this browser again", "In diesem Browser nicht wieder nach einem Code fragen";
    app: "Authenticator app", "Authentifizierungs-App";
    app_title: "Set up an authenticator app", "Authentifizierungs-App einrichten";
    app_lead: "Scan this picture with an authenticator app, and type the code that it then shows.",
        "Scannen Sie dieses Bild mit einer Authentifizierungs-App, und geben Sie den Code ein, den sie dann zeigt.";
    app_picture: "QR code for the app", "QR-Code für die App";
    app_text: "Or type this key into the app:", "Oder geben Sie diesen Schlüssel in die App ein:";
    app_here: "The app is on this device", "Die App ist auf diesem Gerät";
    app_code: "The code that the app shows", "Der Code, den die App zeigt";
    app_set_up: "Set up an app", "App einrichten";
    app_other: "Use another app instead", "Stattdessen eine andere App verwenden";
    app_done: "From now on you are asked for a code when you log in.", "Von jetzt an werden Sie bei der Anmeldung nach einem Code gefragt.";
    codes_title: "Backup codes", "Ersatzcodes";
    codes_lead: "For the day when you do not have the app: each of these works once. Print or copy them now, and keep them where you keep important papers: nobody will ever see them again. Codes from before do not work any more.",
        "Für den Tag, an dem Sie die App nicht haben: Jeder gilt einmal. Drucken oder kopieren Sie sie jetzt, und heben Sie sie bei wichtigen Papieren auf: Niemand wird sie je wieder sehen. Frühere Codes gelten nicht mehr.";
    codes_renew: "New backup codes", "Neue Ersatzcodes";
    factors_none: "You have none: your password alone lets you in. With an app on your phone, nobody who learns the password gets in.",
        "Sie haben keinen: Ihr Passwort allein lässt Sie ein. Mit einer App auf Ihrem Telefon kommt niemand hinein, der nur das Passwort erfährt.";
    factors_remove: "Log in without a second factor", "Ohne zweiten Faktor anmelden";
    factors_remove_hint: "The app, the backup codes and the browsers that are not asked are forgotten. From then on the password alone lets in.",
        "Die App, die Ersatzcodes und die Browser, in denen nicht gefragt wird, sind dann vergessen. Von da an lässt das Passwort allein ein.";
    factors_removed: "Your password alone lets you in now.", "Ihr Passwort allein lässt Sie jetzt ein.";
    need_recent_factors: "To change this, show once more that it is you.", "Um das zu ändern, zeigen Sie noch einmal, dass Sie es sind.";
    devices: "Browsers in which no code is asked for", "Browser, in denen kein Code verlangt wird";
    device_forget: "Ask there again", "Dort wieder fragen";
    devices_forgotten: "A code is asked for there again.", "Dort wird wieder nach einem Code gefragt.";

    denied_title: "Not allowed", "Nicht erlaubt";
    denied_lead: "You are {}, who may not open this. If you should, ask whoever runs this server, and name this number:",
        "Sie sind {} und dürfen das nicht öffnen. Wenn Sie es dürfen sollten, fragen Sie den Betreiber und nennen Sie diese Nummer:";
    denied_other: "Log in as somebody else", "Als jemand anderes anmelden";
}

/// The value in its place in the sentence.
pub(super) fn fill(sentence: &str, value: &str) -> String {
    sentence.replacen("{}", value, 1)
}

/// The language that the browser likes best of those we have; English if it says nothing.
pub(super) fn of(headers: &HeaderMap) -> &'static Words {
    let mut german = None;
    let mut english = None;
    let lines = headers
        .get_all(ACCEPT_LANGUAGE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    for item in lines.flat_map(list_items) {
        let (range, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse().ok());
        let weight: f32 = weight.unwrap_or(0.0);
        // RFC 4647, section 3.4: `de-AT` is served by `de`.
        let primary = range.trim().split('-').next().unwrap_or_default();
        let best = if primary.eq_ignore_ascii_case("de") {
            &mut german
        } else if primary.eq_ignore_ascii_case("en") || primary == "*" {
            &mut english
        } else {
            continue;
        };
        if best.is_none_or(|before| before < weight) {
            *best = Some(weight);
        }
    }
    match (german, english) {
        (Some(german), english) if german > english.unwrap_or(0.0) => &GERMAN,
        _ => &ENGLISH,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_browser_s_favourite_is_spoken() {
        for (accept, lang) in [
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("en-GB,en;q=0.9,de;q=0.8", "en"),
            ("fr, DE;q=0.5", "de"),
            ("fr", "en"),
            ("*", "en"),
            ("de;q=0", "en"),
            ("de;q=x", "en"),
            ("", "en"),
        ] {
            let headers = [(ACCEPT_LANGUAGE, HeaderValue::from_static(accept))];
            assert_eq!(of(&headers.into_iter().collect()).lang, lang, "{accept}");
        }
        assert_eq!(of(&HeaderMap::new()).lang, "en");
    }

    #[test]
    fn both_languages_say_the_same_things() {
        for (name, english, german) in ALL {
            assert!(!english.is_empty() && !german.is_empty(), "{name}");
            let places = |text: &str| text.matches("{}").count();
            assert_eq!(places(english), places(german), "{name}");
            assert!(places(english) <= 1, "{name}");
        }
    }
}
