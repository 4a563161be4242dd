# No queue at all: jobs are processes of this machine, as many as --jobs allows. To try the profile.

queue_submit() { # SCRIPT LOG THREADS MEGABYTES MINUTES GPUS; prints what the functions below get
    setsid bash "$1" >"$2" 2>&1 </dev/null &
    echo "$! $(_born "$!")"
}

queue_state() { # prints known, unknown, or unsure where the queue does not answer
    local pid=${1% *} born=${1#* }
    if [[ $(_born "$pid") == "$born" ]]; then echo known; else echo unknown; fi
}

queue_cancel() {
    if [[ $(queue_state "$1") == known ]]; then kill -TERM -- "-${1% *}"; fi
}

# The time at which a process was started, which tells it from a later one of the same number.
_born() {
    sed -E 's/.*\) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}
