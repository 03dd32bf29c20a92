//! A configuration of any text gives a plan or diagnostics, and never a panic; nor does what is made of the plan.

pub fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let Ok(loaded) = keyferry::config::parse_text(text) else { return };
        let _ = keyferry::config::lint(&loaded.plan);
        let plan = std::sync::Arc::new(loaded.plan);
        if let Ok(compiled) =
            keyferry::compile::Compiler::default().compile(&plan, keyferry::compile::Epoch::FIRST)
        {
            let rehearsal = keyferry::explain::rehearsal(&compiled, &keyferry::store::Revocations::default());
            let _ = keyferry::explain::failed_asserts(&plan, &rehearsal);
        }
    }
}
