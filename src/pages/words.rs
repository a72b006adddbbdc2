//! The names of all sentences. What they say is in `languages/`, one file for each language.

macro_rules! words {
    ($($name:ident)*) => {
        /// Every sentence of the pages in one language. `{}` stands for a value.
        pub(super) struct Words { $(pub(super) $name: &'static str,)* }

        impl Words {
            /// With what each is in that language.
            pub(super) fn all(say: impl Fn(&str) -> &'static str) -> Self {
                Self { $($name: say(stringify!($name)),)* }
            }

            #[cfg(test)]
            pub(super) const NAMES: &[&str] = &[$(stringify!($name),)*];
        }
    };
}

words! {
    lang nav_login nav_logout nav

    login_title login_button name password remember login_wrong login_busy login_cookie login_again
    logged_out insecure no_owner here_as network_as go_on not_now foreign fault

    setup_title setup_lead name_hint display_name new_password password_hint password_again
    setup_button recover_title recover_lead recover_button link_dead_title link_dead

    passwords_differ password_short password_long password_bad name_bad display_name_bad
    password_wrong

    start_title start_lead start_nothing

    logout_title logout_button logout_everywhere logout_everywhere_hint

    profile_title account role groups role_owner role_admin role_user role_read_only save
    current_password change_password password_changed

    sessions this_browser other_browser logged_in_at last_seen ends_at end_one end_others
    session_ended

    tokens tokens_lead no_tokens expires_at never last_used not_used scope networks state_active
    state_overlap state_expired new_token token_name token_name_hint token_expires days_30 days_90
    year token_more token_scope token_scope_hint token_networks token_networks_hint create rotate
    rotate_hint at_once hour day revoke revoke_hint token_revoked need_recent need_recent_link
    minted_title minted_lead minted_use minted_scan minted_picture minted_back token_exists token_name_bad scope_bad
    scope_unknown networks_bad gone

    denied_title denied_lead denied_other ask_whom ask_anybody ask_number ask_help start_link

    kept_title kept_lead kept_not resend_title resend_lead resend_fields resend_button resend_discard
    resend_gone

    consent_title consent_lead consent_client consent_may consent_all consent_only consent_admin consent_back_to consent_hint
    consent_allow consent_deny consent_bad consent_back grants grants_admin grants_lead grant_end grant_ended grant_since

    hop_bad login_elsewhere loop_title loop_no_cookie loop_two_cookies loop_unknown loop_not_passed_on
    loop_scheme choice_lead choice_gone

    email email_bad email_taken names_saved preferences language language_auto theme theme_system theme_light
    theme_dark preferences_saved

    admin_title admin_nav people bans decisions settings done not_done not_for_you
    need_recent_change nothing

    health health_good health_bad version running_since listens_on upstreams upstream_up
    upstream_down tunnels

    add_person groups_hint person_added disabled no_password created_at person_more_rights
    person_is_you person_names enable disable disable_hint remove remove_hint link_button link_hint
    link_title link_lead link_back end_all logins members new_group group_remove_hint

    no_bans new_ban ban_network ban_network_hint ban_network_bad ban_for ban_forever week ban_since
    ban_until ban_reason ban_failures ban_operator ban_button ban_lift

    filter filter_what what_decisions what_changes what_all outcome any outcome_allow
    outcome_challenge outcome_deny outcome_throttle outcome_fail outcome_reject who client
    address_part when event by_whom why why_title why_back older newest nothing_found reason route
    credential network nearly advice

    settings_lead

    login_too_often factor_title factor_lead factor_missing code code_hint code_wrong code_used code_old
    code_early remember_device app app_title app_lead app_picture app_text app_here app_code app_set_up
    app_other app_done codes_title codes_lead codes_renew factors_none factors_remove
    factors_remove_hint factors_removed need_recent_factors devices device_forget devices_forgotten

    factor_lead_codes passkeys passkeys_lead passkey_add passkey_add_lead passkey_name
    passkey_name_hint passkey_name_bad passkey_site passkey_rename passkey_renamed passkey_added
    passkey_remove_hint passkey_removed passkey_enough passkey_login passkey_wrong passkey_late
    passkey_cancelled passkey_known passkey_failed passkey_without passkey_no_address passkey_elsewhere
    factors_reset
}
