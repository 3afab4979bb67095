//! From OpenMetrics, which the library writes, to Prometheus' own text, which every collector and `promtool` read.

/// What a collector must be told that the text is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same samples with the comments of the text format 0.0.4: a counter is announced by the name that its samples have,
/// an info is a gauge, and neither units nor the end are announced.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, text)| text);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some(text) = help.take() {
                out.push_str(&format!("# HELP {name}{suffix} {text}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_change_and_samples_stay() {
        let open_metrics = "# HELP a_restarts Restarts.\n# TYPE a_restarts counter\na_restarts_total{unit=\"x\"} 3\n\
            # HELP a_loop_seconds Time.\n# TYPE a_loop_seconds gauge\n# UNIT a_loop_seconds seconds\na_loop_seconds 0.5\n\
            # HELP a_build Version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n# EOF\n";
        let wanted = "# HELP a_restarts_total Restarts.\n# TYPE a_restarts_total counter\na_restarts_total{unit=\"x\"} 3\n\
            # HELP a_loop_seconds Time.\n# TYPE a_loop_seconds gauge\na_loop_seconds 0.5\n\
            # HELP a_build_info Version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n";
        assert_eq!(prometheus(open_metrics), wanted);
    }
}
