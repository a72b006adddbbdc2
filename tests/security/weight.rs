//! What strangers can make the server weigh.

use crate::support::{Backend, Sidegate, base64};

// Threat model: "Peak memory 2x19 MiB"
#[test]
fn many_wrong_passwords_weigh_what_one_does() {
    let backend = Backend::start();
    let settings =
        "[credentials]\nbasic_passwords = true\n[guard]\nfailures = \"10000 in 5m\"\nrate = \"off\"\n";
    let gate = Sidegate::with_anna(&backend, settings);
    let guess = |number: u32| {
        // Of one account there are not so many; an account that nobody has takes as long and as much.
        let basic = base64(&format!("person{number}:guess number {number}"));
        assert_eq!(
            gate.get("/", &[&format!("Authorization: Basic {basic}")]).status,
            401
        );
    };
    guess(0);
    let one = gate.resident();
    for number in 1..20 {
        guess(number);
    }
    let many = gate.resident();
    // One more hash's memory would be 19 MiB.
    assert!(many < one + 12 * 1024, "{one} and {many} KiB");
}

// Threat model, T10; D-10: "sampled"
#[test]
fn a_stranger_with_many_paths_does_not_fill_the_log() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "[guard]\nrate = \"off\"\n");
    let mut client = crate::support::Client::to(gate.address);
    let begun = std::time::Instant::now();
    for number in 0..500 {
        assert_eq!(client.get(&format!("/{number}"), &[]).status, 401);
    }
    let seconds = begun.elapsed().as_secs() + 2;
    let lines = gate.log().matches("refused; ").count();
    assert!(
        (1..=10 * seconds as usize).contains(&lines),
        "{lines} lines in {seconds} s"
    );
}
