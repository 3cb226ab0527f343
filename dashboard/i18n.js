// Every sentence of the page, in each language. A test looks that both have the same keys.

export const CATALOGUE = {
  en: {
    chat: "Chat", groups: "Groups", approvals: "Approvals", state: "State", chats: "Chats",
    menu: "Menu", close: "Close", cancel: "Cancel", save: "Save", copy: "Copy", copied: "Copied",
    theme: "Theme", theme_auto: "Theme: as the system", theme_light: "Theme: light", theme_dark: "Theme: dark",
    language: "中文", logout: "Log out", skip: "Skip to the content",
    connected: "Connected", connecting: "Connecting…", offline: "Connection lost. Trying again…",
    login_title: "Log in", login_intro: "Open the link that the gateway prints at its start, or ask for a fresh one:",
    login_token: "or the token of the settings", login_go: "Log in", login_used: "This link was used already or is too old.",
    demo_banner: "This is the demonstration agent; no model is set.", demo_set: "Set a model",
    model: "Model", model_change: "Change", model_kind: "API", model_name: "Model", model_key: "Key", model_url: "Address", model_url_hint: "Left empty: the provider's own.",
    model_intro: "It is asked for one short answer before anything is saved; then the next message goes to it.", model_save: "Try and save", model_asking: "Asking the model…",
    model_saved: "{0} answered in {1} s; the next message goes to it.", kind_anthropic: "Anthropic", kind_openai: "OpenAI, or one that speaks its API", kind_ollama: "Ollama",
    sandbox_banner: "Agents can't start on this machine:", see_state: "See State",
    messages: "Messages", messages_intro: "Everything that came in and went out, the latest first. Each one tells what was decided about it, and why.", all_groups: "All groups",
    people: "People", people_intro: "Whoever has a role logs in by a link of their own, and sees only the groups they belong to.",
    invite: "Invite", make_link: "Make the link", fresh_link: "Fresh link", change_role: "Change the role", role: "Role", where: "Where it counts",
    where_all: "None ticked: the whole gateway, with every group.", where_some: "Only in these groups; the others stay unseen.",
    link_for: "A link for {0}", link_text: "It logs in whoever opens it first, once, within 10 minutes. Give it to nobody else.",
    let_go: "{0} may do nothing here any more", let_go_text: "Every role of theirs is taken and their logins end. What they wrote stays.",
    role_viewer: "viewer", role_guest: "guest", role_member: "member", role_operator: "operator", role_admin: "admin", role_owner: "owner",
    role_viewer_text: "Reads, and never speaks.", role_guest_text: "Speaks to the agent, and stops what they asked for.",
    role_member_text: "Stops any run and has things done later.", role_operator_text: "Approves chats, mends what is stuck.",
    role_admin_text: "Makes and changes groups, invites people.", role_owner_text: "Everything.",
    conversation: "Conversation", conversation_main: "Main conversation", only_reads: "You may read here, not write.",
    empty_title: "What shall we do?", empty_text: "Write to the agent of “{0}”. It works in a sandbox of its own.",
    empty_demo: "Try one of these:", empty_readonly: "Nothing was said here yet.", search: "Search",
    demo_file: "Write and read a file", demo_remind: "Remind me in a minute", demo_ask: "Ask for an approval",
    demo_long: "A long answer to stop", demo_walls: "Show the walls",
    write: "Write a message…", write_label: "Message", send: "Send", stop: "Stop", stopping: "Stopping…",
    keys: "Enter sends, Shift+Enter makes a new line",
    elsewhere: "This chat lives on {0}. Answer there; what is said shows up here.",
    no_group: "There is no such chat.", older: "Show older messages", newest: "To the newest",
    sending: "sending…", unsent: "not sent yet, waits for the connection", refused: "not sent: {0}", again: "Send again", discard: "Discard",
    waiting: "waits for its turn", working: "working…", thinking: "Thinking", why: "Why", show_why: "What happened to this message",
    why_title: "What happened to message #{0}", why_steps: "Steps", why_jobs: "Work", why_out: "On its way out", tries: "{0} failures, {1} restarts",
    interrupted: "Stopped.", failed: "This try failed.", retrying: "That failed; it will be tried again.",
    you: "You", agent: "Agent", gateway: "Gateway", answered_with: "Answered", ask_gone: "This question is no longer open.",
    running_count: "{0} at work", queued_count: "{0} waiting",
    groups_intro: "A group is one agent's home: a folder, a memory and limits. Chats are bound to it.",
    new_group: "New group", name: "Name", folder: "Folder", folder_hint: "Left empty, it is made from the name.", create: "Create",
    main_group: "main", open_chat: "Open chat", bind: "Bind a chat", unbind: "Unbind", rename: "Rename", remove: "Remove", limits: "Limits", edit_limits: "Change limits", paused: "paused", rest: "Pause", go_on: "Resume",
    bindings: "Chats", bind_title: "Bind a chat to “{0}”", bind_address: "Address", bind_address_hint: "channel@account:chat, for instance telegram@main:-100123",
    bind_recent: "Recent chats", bind_recent_none: "No chat wrote to this gateway yet.",
    engage: "The agent answers", engage_mention: "when it is meant", engage_always: "every message", engage_trigger: "on a pattern", engage_never: "nothing: it only listens", pattern: "Pattern (regular expression)",
    scope: "One conversation for", scope_thread: "each thread", scope_chat: "the chat", scope_sender: "each person", scope_group: "the whole group",
    senders: "Who may speak", senders_everyone: "everyone in the chat", senders_known: "known people only",
    mode: "Messages that come while it works", mode_collect: "become one prompt", mode_steer: "are given to it at once", mode_followup: "are answered one by one", mode_interrupt: "have it start over",
    stale: "Messages that waited too long", stale_ask: "ask the chat first", stale_answer: "are answered", stale_drop: "are dropped",
    remove_title: "Remove “{0}”?", remove_text: "Its chats are unbound and its agents end. The folder is kept aside.", purge: "Delete the folder as well", remove_yes: "Remove the group",
    limit_max_parallel: "Conversations at a time", limit_memory_mib: "Memory (MiB)", limit_cpu_millis: "Processor (1/1000 core)", limit_pids: "Processes",
    limit_file_mib: "Largest file (MiB)", limit_disk_mib: "Folder (MiB)", limit_run_seconds: "Longest run (s)", limit_silence_seconds: "Longest silence (s)",
    limit_runs_per_day: "Runs a day", limit_tokens_per_day: "Tokens a day", no_cap: "no cap",
    usage: "Usage", usage_intro: "What the models were asked and answered, in tokens, and what that cost by your table of prices. Days are in UTC.", usage_none: "Nothing was used in this time.",
    span: "Time", last_days: "Last {0} days", today: "Today", cost: "Cost", cost_unknown: "unknown", cost_at_least: "at least {0}", tokens_in: "Tokens in", tokens_out: "Tokens out", runs: "Runs", day: "Day",
    estimated: "estimated", estimated_tokens: "{0} of the tokens are estimated: no provider counted them.", cost_hint: "A cost is unknown where [prices] has no price for the model.", used_tokens: "{0} tokens in, {1} out",
    mounts: "Folders of this machine", mount: "Mount a folder", mounts_none: "None: the agent sees its own folders only.", mount_read: "read", mount_write: "write", mount_host: "Folder or file on this machine", mount_name: "Its name inside",
    mount_hint: "What may be mounted at all stands in mount-allowlist.toml of the gateway's home.", mount_may_write: "The agent may change it", environment: "Environment of its agents", environment_hint: "NAME=value, one a line. No secrets: whatever runs inside reads them.",
    approvals_intro: "Chats and people that wrote and are not known yet. Nothing of theirs reaches an agent before you say so.",
    approvals_none: "Nobody waits.", approvals_none_text: "When somebody new writes to one of your bots, they get a code and show up here.",
    direct_chat: "direct chat", group_chat: "group chat", code: "Code", expires_in: "{0} left",
    approve_me: "This is me", approve_own: "Give it a group of its own", approve_into: "Into", approve: "Approve", deny: "Deny",
    approved: "Approved: {0}", denied: "Denied: {0}",
    held_banner: "Restored from a backup and held: nothing is taken, sent or answered until `nanogridbot resume --held`.",
    disk_banner: "The disk is full: messages are stored, and answered once there is room.",
    sandbox: "Sandbox", sandbox_proving: "Being proved…", sandbox_ready: "Ready ({0})", sandbox_refused: "Refused", sandbox_away: "Its engine does not answer; work waits for it", do_this: "Do this:",
    limit: "Limit", kept_by: "Kept by", kept_kernel: "the kernel", kept_watcher: "a watcher", kept_not_enforced: "nobody",
    p_memory: "Memory", p_cpu: "Processor", p_pids: "Processes", p_disk: "Disk", p_network: "Network",
    agents: "Agents", agents_working: "at work", agents_idle: "idle", agent_model: "Agent", version: "Version", up_since: "Started",
    channels: "Channels", channel: "Account", channel_state: "State", called_at: "Address for its console", last_heard: "Last heard", never: "not yet", none_set_up: "None.",
    queue: "Queue", q_jobs_queued: "waiting", q_jobs_running: "running", q_outbox_pending: "to be sent", q_outbox_in_doubt: "in doubt", q_jobs_dead: "dead letters",
    q_messages_in: "messages in", q_messages_out: "messages out",
    settings: "Settings", plugins: "Plugins", plugins_intro: "Asked about what comes in and goes out. What is changed here counts from the next message on, over the settings file.",
    plugin_on: "on", plugin_off: "off", plugin_required: "holds messages where it fails", plugin_switch_on: "Switch on", plugin_switch_off: "Switch off",
    plugin_back: "As in the settings file", plugin_reload: "Read anew", plugin_reloaded: "Read anew", plugin_saved: "Saved", plugin_no_settings: "It has no settings.",
    plugin_calls: "asked {0} times, failed {1} times", plugin_failed_often: "It failed too often and is asked no more. Switch it off and on.",
    plugin_held: "Held until somebody decides", plugin_release: "Let it go", plugin_released: "It goes its way",
    dead: "Dead letters", dead_none: "None. Nothing was given up.", requeue: "Try again", drop: "Drop", requeued: "Back in the queue", dropped: "Dropped",
    ch_up: "up", ch_connecting: "connecting", ch_waiting: "waiting", ch_down: "down", ch_paused: "paused", ch_contested: "another program uses it", reconnects: "connected anew {0} times", backlog: "{0} to be sent",
    other_programs: "Other programs on this account", set_up: "Set-up", may_be_missing: "What may be missing:", left_to_do: "What is to be done on {0}:",
    stage_connecting: "Connecting", stage_refused: "Not connected", stage_connected: "Connected; no message yet", stage_heard: "A message came",
    stage_cant_answer: "A message came and could not be answered", stage_answered: "A message came and was answered", last_sent: "Last sent", cant_send: "can't send: {0}",
    test: "Test", test_ok: "{0} knows us as {1}", test_quiet: "{0} answers",
    tasks: "Tasks", tasks_intro: "What is done by the clock: by the agent, or as a reminder that needs no model.", tasks_none: "Nothing is scheduled.",
    new_task: "New task", edit_task: "Change the task", edit: "Change", run_now: "Run now", task_runs: "It runs now, beside its schedule.",
    task_active: "active", task_paused: "paused", task_completed: "done", task_cancelled: "cancelled", next_fire: "Next:", next_fires: "It would fire:",
    history: "History", never_fired: "It has not fired yet.", fired: "Fired", outcome: "Outcome", took: "Took", delivery: "Delivery", sent_of: "{0} of {1} sent",
    when_cron: "cron", when_interval: "every", when_once: "once", schedule: "When", zone: "Time zone", value_cron: "Cron expression", value_interval: "How often", value_once: "Date and time",
    value_cron_hint: "minute hour day month weekday: 0 9 * * MON-FRI is nine o'clock on weekdays", value_interval_hint: "90s, 15m, 2h or 1d", value_once_hint: "2026-12-24 18:00, in the zone below",
    what_to_do: "What is to be done", how: "How", does_say: "reminder", does_think_text: "The agent does it", does_say_text: "The text is said, without a model", group: "Group", chat_to: "The answer goes to", chat_usual: "the group's usual chat",
    cancel_task: "Cancel the task", cancel_task_title: "Cancel this task?", cancel_task_text: "It fires no more, and what waits of it is cancelled too. Its history stays.", keep: "Keep it",
    alert: "Look at this", failed_request: "That did not work: {0}", all_done: "Done",
    now: "now", seconds_ago: "{0} s ago", minutes_ago: "{0} min ago", hours_ago: "{0} h ago", days_ago: "{0} d ago", minutes: "{0} min", hours: "{0} h",
  },
  zh: {
    chat: "聊天", groups: "群组", approvals: "审批", state: "状态", chats: "会话",
    menu: "菜单", close: "关闭", cancel: "取消", save: "保存", copy: "复制", copied: "已复制",
    theme: "主题", theme_auto: "主题：跟随系统", theme_light: "主题：浅色", theme_dark: "主题：深色",
    language: "English", logout: "退出登录", skip: "跳到正文",
    connected: "已连接", connecting: "正在连接…", offline: "连接中断，正在重试…",
    login_title: "登录", login_intro: "打开网关启动时显示的链接，或获取一个新的链接：",
    login_token: "或输入设置中的令牌", login_go: "登录", login_used: "这个链接已被使用或已过期。",
    demo_banner: "这是演示智能体；尚未设置模型。", demo_set: "设置模型",
    model: "模型", model_change: "更改", model_kind: "接口", model_name: "模型", model_key: "密钥", model_url: "地址", model_url_hint: "留空则用服务商自己的地址。",
    model_intro: "保存之前会先请它简短回答一次；保存后，下一条消息就由它回答。", model_save: "试用并保存", model_asking: "正在询问模型…",
    model_saved: "{0} 在 {1} 秒内作答；下一条消息由它回答。", kind_anthropic: "Anthropic", kind_openai: "OpenAI 或兼容其接口的服务", kind_ollama: "Ollama",
    sandbox_banner: "这台机器上无法启动智能体：", see_state: "查看状态",
    messages: "消息", messages_intro: "收到和发出的所有消息，最新的在前。每条消息都能说明经过和原因。", all_groups: "所有群组",
    people: "人员", people_intro: "有角色的人用自己的链接登录，只能看到自己所属的群组。",
    invite: "邀请", make_link: "生成链接", fresh_link: "新链接", change_role: "更改角色", role: "角色", where: "适用范围",
    where_all: "未勾选：整个网关，包括所有群组。", where_some: "仅限这些群组，其他群组不可见。",
    link_for: "给{0}的链接", link_text: "10 分钟内第一个打开它的人即可登录，仅一次。请勿给其他人。",
    let_go: "{0} 在这里不再有任何权限", let_go_text: "收回全部角色并结束其登录。写过的内容会保留。",
    role_viewer: "观察者", role_guest: "访客", role_member: "成员", role_operator: "操作员", role_admin: "管理员", role_owner: "所有者",
    role_viewer_text: "只读，不能发言。", role_guest_text: "可与智能体对话，可停止自己发起的工作。",
    role_member_text: "可停止任何运行，可安排稍后的工作。", role_operator_text: "审批会话，处理故障。",
    role_admin_text: "创建和修改群组，邀请人员。", role_owner_text: "全部权限。",
    conversation: "对话", conversation_main: "主对话", only_reads: "你在这里只能阅读，不能发言。",
    empty_title: "今天做什么？", empty_text: "给“{0}”的智能体写消息。它在自己的沙箱里工作。",
    empty_demo: "试试这些：", empty_readonly: "这里还没有消息。", search: "搜索",
    demo_file: "写入并读取文件", demo_remind: "一分钟后提醒我", demo_ask: "请求批准",
    demo_long: "可以停止的长回答", demo_walls: "展示隔离墙",
    write: "写一条消息…", write_label: "消息", send: "发送", stop: "停止", stopping: "正在停止…",
    keys: "Enter 发送，Shift+Enter 换行",
    elsewhere: "这个会话在 {0} 上。请在那里回复，内容会显示在这里。",
    no_group: "没有这个会话。", older: "显示更早的消息", newest: "到最新消息",
    sending: "正在发送…", unsent: "尚未发送，等待连接", refused: "未发送：{0}", again: "重新发送", discard: "放弃",
    waiting: "排队中", working: "正在处理…", thinking: "思考", why: "原因", show_why: "这条消息经历了什么",
    why_title: "消息 #{0} 的经过", why_steps: "步骤", why_jobs: "任务", why_out: "发送", tries: "失败 {0} 次，重启 {1} 次",
    interrupted: "已停止。", failed: "这次失败了。", retrying: "失败了，将重试。",
    you: "你", agent: "智能体", gateway: "网关", answered_with: "已回答", ask_gone: "这个问题已关闭。",
    running_count: "{0} 个进行中", queued_count: "{0} 个等待",
    groups_intro: "群组是一个智能体的家：文件夹、记忆和限额。会话绑定到群组。",
    new_group: "新建群组", name: "名称", folder: "文件夹", folder_hint: "留空则根据名称生成。", create: "创建",
    main_group: "主群组", open_chat: "打开聊天", bind: "绑定会话", unbind: "解绑", rename: "重命名", remove: "删除", limits: "限额", edit_limits: "修改限额", paused: "已暂停", rest: "暂停", go_on: "恢复",
    bindings: "会话", bind_title: "绑定会话到“{0}”", bind_address: "地址", bind_address_hint: "channel@account:chat，例如 telegram@main:-100123",
    bind_recent: "最近的会话", bind_recent_none: "还没有会话给这个网关发过消息。",
    engage: "智能体何时回答", engage_mention: "被提到时", engage_always: "每条消息", engage_trigger: "匹配模式时", engage_never: "不回答，只旁听", pattern: "模式（正则表达式）",
    scope: "对话范围", scope_thread: "每个话题", scope_chat: "整个会话", scope_sender: "每个人", scope_group: "整个群组",
    senders: "谁可以说话", senders_everyone: "会话中的所有人", senders_known: "仅限已知的人",
    mode: "工作期间收到的消息", mode_collect: "合并为一个请求", mode_steer: "立即交给正在工作的代理", mode_followup: "逐条回答", mode_interrupt: "中断并重新开始",
    stale: "等待过久的消息", stale_ask: "先询问聊天", stale_answer: "照常回答", stale_drop: "丢弃",
    remove_title: "删除“{0}”？", remove_text: "会话将解绑，智能体将结束。文件夹会另行保留。", purge: "同时删除文件夹", remove_yes: "删除群组",
    limit_max_parallel: "并行对话数", limit_memory_mib: "内存（MiB）", limit_cpu_millis: "处理器（千分之一核）", limit_pids: "进程数",
    limit_file_mib: "最大文件（MiB）", limit_disk_mib: "文件夹（MiB）", limit_run_seconds: "最长运行（秒）", limit_silence_seconds: "最长静默（秒）",
    limit_runs_per_day: "每日运行次数", limit_tokens_per_day: "每日令牌数", no_cap: "无上限",
    usage: "用量", usage_intro: "向模型提问和得到的回答，以词元计，并按价目表计算费用。日期为 UTC。", usage_none: "这段时间没有用量。",
    span: "时间", last_days: "最近 {0} 天", today: "今天", cost: "费用", cost_unknown: "未知", cost_at_least: "至少 {0}", tokens_in: "输入词元", tokens_out: "输出词元", runs: "运行", day: "日期",
    estimated: "估算", estimated_tokens: "其中 {0} 个词元为估算：服务商没有给出数量。", cost_hint: "[prices] 中没有该模型价格时，费用未知。", used_tokens: "输入 {0} 词元，输出 {1} 词元",
    mounts: "本机文件夹", mount: "挂载文件夹", mounts_none: "无：代理只能看到自己的文件夹。", mount_read: "只读", mount_write: "可写", mount_host: "本机上的文件夹或文件", mount_name: "在沙箱内的名称",
    mount_hint: "允许挂载的内容写在网关主目录的 mount-allowlist.toml 中。", mount_may_write: "代理可以修改", environment: "代理的环境变量", environment_hint: "每行一个 NAME=value。不要放密钥：沙箱内的程序都能读到。",
    approvals_intro: "写过消息但尚不认识的会话和人。在你同意之前，他们的内容不会到达智能体。",
    approvals_none: "没有等待审批的请求。", approvals_none_text: "有新的人给你的机器人写消息时，他们会得到一个代码并显示在这里。",
    direct_chat: "私聊", group_chat: "群聊", code: "代码", expires_in: "剩余 {0}",
    approve_me: "这是我", approve_own: "建立独立群组", approve_into: "加入", approve: "批准", deny: "拒绝",
    approved: "已批准：{0}", denied: "已拒绝：{0}",
    held_banner: "已从备份恢复并暂停：在运行 `nanogridbot resume --held` 之前，不接收、不发送、不回答。",
    disk_banner: "磁盘已满：消息会保存，有空间后再回答。",
    sandbox: "沙箱", sandbox_proving: "正在验证…", sandbox_ready: "就绪（{0}）", sandbox_refused: "被拒绝", sandbox_away: "容器引擎没有响应；工作会等待", do_this: "请执行：",
    limit: "限额", kept_by: "由谁保证", kept_kernel: "内核", kept_watcher: "监视程序", kept_not_enforced: "无",
    p_memory: "内存", p_cpu: "处理器", p_pids: "进程", p_disk: "磁盘", p_network: "网络",
    agents: "智能体", agents_working: "工作中", agents_idle: "空闲", agent_model: "智能体", version: "版本", up_since: "启动于",
    channels: "渠道", channel: "账号", channel_state: "状态", called_at: "回调地址", last_heard: "最近联系", never: "尚无", none_set_up: "无。",
    queue: "队列", q_jobs_queued: "等待", q_jobs_running: "运行中", q_outbox_pending: "待发送", q_outbox_in_doubt: "待确认", q_jobs_dead: "死信",
    q_messages_in: "收到的消息", q_messages_out: "发出的消息",
    settings: "设置", plugins: "插件", plugins_intro: "处理收到和发出的消息。在此修改后从下一条消息起生效，优先于设置文件。",
    plugin_on: "已启用", plugin_off: "已停用", plugin_required: "失败时扣留消息", plugin_switch_on: "启用", plugin_switch_off: "停用",
    plugin_back: "恢复设置文件", plugin_reload: "重新读取", plugin_reloaded: "已重新读取", plugin_saved: "已保存", plugin_no_settings: "没有可设置的内容。",
    plugin_calls: "调用 {0} 次，失败 {1} 次", plugin_failed_often: "失败次数过多，已不再调用。请停用后再启用。",
    plugin_held: "等待处理的消息", plugin_release: "放行", plugin_released: "已放行",
    dead: "死信", dead_none: "没有。一切都已处理。", requeue: "重试", drop: "丢弃", requeued: "已回到队列", dropped: "已丢弃",
    ch_up: "在线", ch_connecting: "连接中", ch_waiting: "等待", ch_down: "离线", ch_paused: "已暂停", ch_contested: "被其他程序占用", reconnects: "已重连 {0} 次", backlog: "{0} 条待发送",
    other_programs: "使用此账号的其他程序", set_up: "设置", may_be_missing: "可能缺少：", left_to_do: "需要在 {0} 完成：",
    stage_connecting: "连接中", stage_refused: "未连接", stage_connected: "已连接，尚无消息", stage_heard: "收到消息",
    stage_cant_answer: "收到消息但无法回复", stage_answered: "收到消息并已回复", last_sent: "最近发送", cant_send: "无法发送：{0}",
    test: "测试", test_ok: "{0} 认识我们：{1}", test_quiet: "{0} 有应答",
    tasks: "任务", tasks_intro: "按时间完成的事：由代理处理，或作为不需要模型的提醒。", tasks_none: "没有定时任务。",
    new_task: "新建任务", edit_task: "修改任务", edit: "修改", run_now: "立即运行", task_runs: "正在运行，原定时间不变。",
    task_active: "启用", task_paused: "已暂停", task_completed: "已完成", task_cancelled: "已取消", next_fire: "下次：", next_fires: "将会触发：",
    history: "历史", never_fired: "尚未触发。", fired: "触发", outcome: "结果", took: "用时", delivery: "送达", sent_of: "已发送 {0}/{1}",
    when_cron: "cron", when_interval: "每隔", when_once: "一次", schedule: "时间", zone: "时区", value_cron: "Cron 表达式", value_interval: "间隔", value_once: "日期和时间",
    value_cron_hint: "分 时 日 月 周：0 9 * * MON-FRI 表示工作日九点", value_interval_hint: "90s、15m、2h 或 1d", value_once_hint: "2026-12-24 18:00，按下面的时区",
    what_to_do: "要做什么", how: "方式", does_say: "提醒", does_think_text: "由代理完成", does_say_text: "直接发送文字，不需要模型", group: "群组", chat_to: "回答发送到", chat_usual: "群组的常用聊天",
    cancel_task: "取消任务", cancel_task_title: "取消这个任务？", cancel_task_text: "它不再触发，等待中的也会取消；历史会保留。", keep: "保留",
    alert: "请注意", failed_request: "操作失败：{0}", all_done: "完成",
    now: "刚刚", seconds_ago: "{0} 秒前", minutes_ago: "{0} 分钟前", hours_ago: "{0} 小时前", days_ago: "{0} 天前", minutes: "{0} 分钟", hours: "{0} 小时",
  },
};

const wish = () => localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

let language = typeof localStorage === "undefined" ? "en" : wish();

export const currentLanguage = () => language;

/** Speaks `to` from now on. */
export function setLanguage(to) {
  language = to;
  localStorage.setItem("language", to);
  document.documentElement.lang = to;
}

/** The sentence `key`, with `{0}`, `{1}`, … filled in. */
export function t(key, ...args) {
  const text = CATALOGUE[language][key] ?? CATALOGUE.en[key];
  return args.reduce((res, arg, at) => res.replaceAll(`{${at}}`, String(arg)), text);
}

/** How long ago `iso` was, in words. */
export function ago(iso) {
  const s = Math.max(0, Math.round((Date.now() - Date.parse(iso)) / 1000));
  if (s < 5) return t("now");
  if (s < 60) return t("seconds_ago", s);
  if (s < 3600) return t("minutes_ago", Math.round(s / 60));
  if (s < 86400) return t("hours_ago", Math.round(s / 3600));
  return t("days_ago", Math.round(s / 86400));
}

/** How long it is until `iso`, in words. */
export function left(iso) {
  const min = Math.max(0, Math.ceil((Date.parse(iso) - Date.now()) / 60000));
  return min < 60 ? t("minutes", min) : t("hours", Math.round(min / 60));
}

/** The time of day, with the date when it is not today. */
export function clockTime(iso) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.toLocaleDateString(language, { month: "short", day: "numeric" })} ${time}`;
}
