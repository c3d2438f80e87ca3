#!/usr/bin/env bash
# A Slurm cluster of one node with two processors on this machine's loopback, for tests:
#   slurm.sh install          munge, slurmctld and slurmd from Debian's packages (as root)
#   slurm.sh start [FOLDER]   starts them; prints the line that lets sbatch and squeue find them
#   slurm.sh stop [FOLDER]    cancels all jobs and ends what `start` started
# FOLDER holds configuration, state and logs; default: /tmp/headspan-slurm. The system's own Slurm configuration is not touched.
set -euo pipefail

command=${1:-help}
folder=${2:-/tmp/headspan-slurm}
export SLURM_CONF=$folder/slurm.conf

install() {
    if command -v slurmctld > /dev/null && command -v slurmd > /dev/null && command -v munged > /dev/null; then
        return
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends munge slurmctld slurmd slurm-client > /dev/null
}

configure() {
    local host processors memory
    host=$(hostname -s)
    processors=$(nproc)
    memory=$(awk '/MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)
    mkdir -p "$folder"/{state,spool,log,munge}
    # munged refuses a folder that others could write to.
    chmod 0755 "$folder" "$folder/munge"
    # The node always has `CPUs=2`: two tasks run at once, whatever the machine has.
    [ "$processors" -ge 2 ] || echo "slurm.sh: one processor, which two tasks share" >&2
    cat > "$SLURM_CONF" << END
ClusterName=headspan
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=46817
SlurmdPort=46818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,sched_min_interval=100000
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=10
MinJobAge=300
MaxArraySize=10001
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=$memory State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
END
    [ -f "$folder/munge/key" ] || dd if=/dev/urandom of="$folder/munge/key" bs=128 count=1 status=none
    chmod 0600 "$folder/munge/key"
}

start() {
    stop
    configure
    munged --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
        --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --force
    slurmctld -i
    slurmd
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader --format=%t 2> /dev/null)" = idle ]; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.2
    done
    echo "slurm.sh: the node did not become idle; see $folder/log" >&2
    sinfo >&2 || true
    tail -n 5 "$folder"/log/*.log >&2
    exit 1
}

# Ends one daemon by the number that it wrote down.
end() {
    local pid
    [ -f "$1" ] || return 0
    pid=$(cat "$1")
    if kill "$pid" 2> /dev/null; then
        for _ in $(seq 50); do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.1
        done
    fi
    rm -f "$1"
}

stop() {
    # Nothing but what `start` made is ever removed.
    [ -f "$SLURM_CONF" ] || return 0
    if [ -f "$folder/slurmctld.pid" ]; then
        timeout 10 scancel --user=root 2> /dev/null || true
    fi
    end "$folder/slurmd.pid"
    end "$folder/slurmctld.pid"
    end "$folder/munge/pid"
    rm -rf "$folder"
}

case $command in
    install | start | stop) "$command" ;;
    *) sed -n '2,6s/^# //p' "$0" ;;
esac
